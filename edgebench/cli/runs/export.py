"""edgebench runs export: every timed inference as a table."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import cloup

from edgebench.cli.options import store_option, verbosity_options
from edgebench.cli.runs.selection import selection_of, selection_options
from edgebench.errors import UsageError
from edgebench.text import counted

_STDOUT = Path("-")


@cloup.command("export")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@cloup.option("--to", "kind", type=click.Choice(["csv", "parquet"]), required=True, help="What to write.")
@cloup.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    required=True,
    metavar="FILE",
    help="Where to write it; -: standard output (CSV).",
)
@selection_options
@cloup.option_group("Output", store_option, verbosity_options)
def command(ids: tuple[str, ...], kind: str, out: Path, store: Path, **filters: str | None) -> None:
    """Write one row per timed inference of these measurements. Default: of all.

    A row has run, variant, format, device, workload and tokens, and at the start of the inference: clock, temperature,
    throttle flags and load of other processes. Rows are in the order of time within each run.

    \b
    Example:
      edgebench runs export 20250101T120000-1a2b3c-000 --to csv --out l.csv
    """
    from edgebench.store import Store

    where, kept = selection_of(filters), Store(store)
    if out != _STDOUT:
        count = kept.export(out, ids=ids, kind="csv" if kind == "csv" else "parquet", where=where)
        click.echo(f"{counted(count, 'inference')} written to {out}", err=True)
        return
    if kind != "csv":
        raise UsageError("--out -: Parquet is no text; write CSV, or name a file: --out latencies.parquet")
    with TemporaryDirectory() as folder:
        table = Path(folder) / "table.csv"
        count = kept.export(table, ids=ids, kind="csv", where=where)
        with table.open(encoding="utf-8", newline="") as source:
            shutil.copyfileobj(source, sys.stdout)
        sys.stdout.flush()
    click.echo(f"{counted(count, 'inference')} written to standard output", err=True)
