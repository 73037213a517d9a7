"""edgebench runs sql: a query over what is stored."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from edgebench.cli.options import output_options
from edgebench.cli.output import check_json_target, console, write_json
from edgebench.cli.runs.selection import selection_of, selection_options
from edgebench.errors import StoreError, UsageError
from edgebench.text import counted

if TYPE_CHECKING:
    from edgebench.store import QueryResult

_FEW_ROWS = 1000


@cloup.command("sql")
@click.argument("query")
@cloup.option(
    "--limit",
    type=click.IntRange(min=0),
    default=_FEW_ROWS,
    show_default=True,
    metavar="N",
    help="Rows that are shown or written at most; 0: all.",
)
@selection_options
@cloup.option("--csv", "csv_target", metavar="FILE", help="Write the rows as CSV; -: standard output.")
@output_options
def command(
    query: str, limit: int, csv_target: str | None, store: str, json_target: str | None, **filters: str | None
) -> None:
    """Query what is stored, in the SQL of DuckDB. The store is only read.

    Tables: runs, inferences, sensors, scores, traces. DESCRIBE runs shows the columns of one. With a selection, the
    tables have these measurements only (scores: all): of a large store, that reads much less.

    \b
    Example:
      edgebench runs sql "SELECT variant, count(*) FROM runs GROUP BY ALL"
    """
    from edgebench.store import Store

    if csv_target == json_target == "-":
        raise UsageError("--csv - and --json -: only one of them can be standard output")
    check_json_target(json_target)
    result = Store(store).query_table(query, limit=limit or None, where=selection_of(filters))
    if json_target is not None:
        from edgebench.reporting.query import query_document

        write_json(json_target, query_document(result))
    if csv_target is not None:
        _write_csv(csv_target, result)
    if json_target is None and csv_target is None:
        from edgebench.reporting.query import query_table

        console().print(query_table(result))
    if result.has_more:
        more = f"only the first {counted(limit, 'row')} of more; --limit N allows more, --limit 0 all"
        click.echo(f"edgebench: {more}", err=True)


def _write_csv(target: str, result: QueryResult) -> None:
    """Write the rows with a line of names; what is null is an empty cell.

    Raises:
        StoreError: the file can't be written.
    """
    from edgebench.reporting.query import plain_rows

    rows = [result.columns, *plain_rows(result)]
    if target == "-":
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
        return
    path = Path(target)
    temporary = path.with_name(path.name + ".part")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"can't write {path}: {error.strerror}") from error
