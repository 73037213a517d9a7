"""The charts of a report, one module for each: results come in, a Figure with specifications of Vega-Lite comes out.

Altair writes the specifications. Colours of text and lines are the page's own (`currentColor`), so that one
specification serves light and dark pages and paper.
"""

from __future__ import annotations

from edgebench.reporting.html.charts.distribution import distribution
from edgebench.reporting.html.charts.forest import forest, gate_forest
from edgebench.reporting.html.charts.front import front
from edgebench.reporting.html.charts.history import history
from edgebench.reporting.html.charts.languages import languages
from edgebench.reporting.html.charts.memory import memory_over_time, memory_phases
from edgebench.reporting.html.charts.operators import operators
from edgebench.reporting.html.charts.over_time import over_time
from edgebench.reporting.html.charts.run_medians import run_medians

__all__ = [
    "distribution",
    "forest",
    "front",
    "gate_forest",
    "history",
    "languages",
    "memory_over_time",
    "memory_phases",
    "operators",
    "over_time",
    "run_medians",
]
