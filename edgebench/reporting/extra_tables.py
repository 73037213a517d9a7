"""What stands below the table of results, measurement by measurement."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from edgebench.measurement import Measurement
from edgebench.reporting.operators import operator_tables
from edgebench.reporting.rate_search import search_tables
from edgebench.reporting.sustained import sustained_tables


def tables_below(measurement: Measurement) -> Iterator[RenderableType]:
    """Yield what a row of the table has no room for: minutes, the search of a rate, operators."""
    yield from sustained_tables(measurement)
    yield from search_tables(measurement)
    yield from operator_tables(measurement)
