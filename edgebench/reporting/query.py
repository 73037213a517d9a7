"""The result of a query as a table and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from edgebench._version import __version__
from edgebench.errors import UsageError
from edgebench.measurement import FORMAT_VERSION
from edgebench.reporting.layout import PlainTable
from edgebench.store import QueryResult

_LONG = 120  # characters of a cell


def query_table(result: QueryResult) -> PlainTable:
    """Return the rows for a terminal: numbers to the right, what is null as a dash."""
    rows = plain_rows(result)
    numbers = {
        name for at, name in enumerate(result.columns) if _are_numbers([row[at] for row in rows if row[at] is not None])
    }
    table = PlainTable(*result.columns, figures=numbers)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    return table


def _are_numbers(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)


def query_document(result: QueryResult) -> dict[str, Any]:
    """Return what `runs sql --json` writes.

    Raises:
        UsageError: two columns have one name.
    """
    twice = {name for name in result.columns if result.columns.count(name) > 1}
    if twice:
        raise UsageError(f"two columns are named {min(twice)!r}; name them with AS for JSON")
    return {
        "format_version": FORMAT_VERSION,
        "edgebench_version": __version__,
        "columns": [{"name": name, "type": kind} for name, kind in zip(result.columns, result.types, strict=True)],
        "rows": [dict(zip(result.columns, row, strict=True)) for row in plain_rows(result)],
        "has_more": result.has_more,
    }


def plain_rows(result: QueryResult) -> list[list[Any]]:
    """Return the rows with values that JSON has; a number that is not finite is null."""
    return [[_plain(value) for value in row] for row in result.rows]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | Decimal):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONG else text[: _LONG - 3] + "..."
