"""Reports: one self-contained page, or Markdown, of any set of results; and single figures as PNG or SVG.

Results come in; `page` holds what is said, in plain text and specifications of charts; a document comes out. Only
`charts`, `scripts` and `pictures` need the extra `report`.
"""

from __future__ import annotations

from edgebench.reporting.html.making import plot, report
from edgebench.reporting.html.results import Result
from edgebench.reporting.html.selection import chosen_results

__all__ = ["Result", "chosen_results", "plot", "report"]
