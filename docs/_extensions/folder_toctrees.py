"""Tables of contents that follow what is there.

An index page without a table of contents gets one of all pages in its folder. The table of contents of the home page
leaves out index pages that are not written yet.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_TOCTREE = "\n\n```{toctree}\n:hidden:\n:glob:\n\n*\n```\n"
_INDEX_ENTRY = re.compile(r"^([\w-]+/index)\n", re.MULTILINE)


def _follow_pages(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname.endswith("/index") and "{toctree}" not in source[0]:
        source[0] += _TOCTREE
    if docname == app.config.root_doc:
        found = app.env.found_docs
        source[0] = _INDEX_ENTRY.sub(lambda entry: entry[0] if entry[1] in found else "", source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Complete the pages as Sphinx reads them."""
    app.connect("source-read", _follow_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
