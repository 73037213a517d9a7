"""edgebench runs export: every timed inference as a table, or measurements in the formats of other tools."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
import cloup

from edgebench.cli.options import store_option, verbosity_options
from edgebench.cli.runs.selection import selection_of, selection_options
from edgebench.errors import StoreError, UsageError
from edgebench.text import counted

if TYPE_CHECKING:
    from edgebench.reporting.exchange import ExportedResults
    from edgebench.store import Selection, Store

_STDOUT = Path("-")
_TABLES = ("csv", "parquet")
_BINARY = {"parquet": "latencies.parquet", "perfetto": "runs.pftrace"}
_MLFLOW = "mlflow"
_FORMATS = (*_TABLES, "perfetto", "bmf", "github-action-benchmark", "openmetrics", _MLFLOW, "model-index")
#: Other names of formats.
_ALIASES = {"bencher": "bmf", "model-card": "model-index"}
_MOST_NOTES = 10
_TO = f"What to write: {', '.join(_FORMATS)}."


class _FormatChoice(click.Choice[str]):
    """A format, also by its other name."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert(_ALIASES.get(value, value), param, ctx)


@cloup.command("export")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@cloup.option("--to", "kind", type=_FormatChoice(_FORMATS), required=True, metavar="FORMAT", help=_TO)
@cloup.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Where to write it; -: standard output (text). MLflow needs none.",
)
@cloup.option(
    "--better",
    type=click.Choice(["smaller", "bigger"]),
    help="github-action-benchmark: figures of which such values are better. [default: smaller]",
)
@cloup.option("--tracking-uri", metavar="URI", help="mlflow: URL of a server, or a folder. [default: as MLflow's]")
@cloup.option("--experiment", metavar="NAME", help="mlflow: name of the experiment. [default: edgebench]")
@selection_options
@cloup.option_group("Output", store_option, verbosity_options)
def command(
    ids: tuple[str, ...],
    kind: str,
    out: Path | None,
    better: str | None,
    tracking_uri: str | None,
    experiment: str | None,
    store: str,
    **filters: str | None,
) -> None:
    """Write these measurements for other tools. Default: all.

    csv and parquet have one row per timed inference: run, variant, format, device, workload and tokens, and at the
    start of the inference: clock, temperature, throttle flags and load of other processes. Rows are in the order of
    time within each run.

    perfetto has every inference and sensor of each run on a time line; bmf (Bencher), github-action-benchmark,
    openmetrics and model-index (the front matter of a Hugging Face model card) have the figures of each measurement;
    mlflow makes a run of each. What is left out because it is not valid is reported.

    \b
    Example:
      edgebench runs export 20250101T120000-1a2b3c-000 --to csv --out l.csv
      edgebench runs export --device pi4 --to perfetto --out runs.pftrace
    """
    from edgebench.store import Store

    _check(kind, out, better, tracking_uri, experiment)
    where, kept = selection_of(filters), Store(store)
    if kind in _TABLES:
        _export_table(kept, where, ids, kind, out or _STDOUT)
        return
    from edgebench.reporting.exchange import DEFAULT_EXPERIMENT, export_results

    if not kept.count_runs(where, ids=ids):
        raise UsageError(_nothing(kept, where))
    exported = export_results(
        kept.each_measurement(where, ids=ids, on_unreadable=_warn),
        to=kind,
        out=None if out == _STDOUT else out,
        store=kept,
        better=better or "smaller",
        tracking_uri=tracking_uri,
        experiment=experiment or DEFAULT_EXPERIMENT,
    )
    if out == _STDOUT and exported.text is not None:
        click.echo(exported.text, nl=False)
    _report(exported, "MLflow" if out is None else "standard output" if out == _STDOUT else str(out))


def _check(kind: str, out: Path | None, better: str | None, tracking_uri: str | None, experiment: str | None) -> None:
    """Refuse options that this format does not take, and standard output where the format is no text."""
    if kind == _MLFLOW and out is not None:
        raise UsageError("--to mlflow writes to a tracking server, no file; leave --out out")
    if kind != _MLFLOW and out is None:
        raise UsageError(f"--to {kind} needs a file: --out {_BINARY.get(kind, 'FILE')}")
    if kind in _BINARY and out == _STDOUT:
        instead = "write CSV, or name" if kind == "parquet" else "name"
        name = "Parquet" if kind == "parquet" else "a Perfetto trace"
        raise UsageError(f"--out -: {name} is no text; {instead} a file: --out {_BINARY[kind]}")
    of_mlflow = (("--tracking-uri", tracking_uri), ("--experiment", experiment))
    for option, value, owner in (*((*each, _MLFLOW) for each in of_mlflow), ("--better", better, _FORMATS[4])):
        if value is not None and kind != owner:
            raise UsageError(f"{option} is for --to {owner}")


def _nothing(kept: Store, where: Selection) -> str:
    from edgebench.store import EVERYTHING

    if where != EVERYTHING:
        return kept.why_nothing_fits(where)
    return f"there is no measurement in {kept.location}; name another store with --store"


def _export_table(kept: Store, where: Selection, ids: tuple[str, ...], kind: str, out: Path) -> None:
    if out != _STDOUT:
        count = kept.export(out, ids=ids, kind="csv" if kind == "csv" else "parquet", where=where)
        click.echo(f"{counted(count, 'inference')} written to {out}", err=True)
        return
    with TemporaryDirectory() as folder:
        table = Path(folder) / "table.csv"
        count = kept.export(table, ids=ids, kind="csv", where=where)
        with table.open(encoding="utf-8", newline="") as source:
            shutil.copyfileobj(source, sys.stdout)
        sys.stdout.flush()
    click.echo(f"{counted(count, 'inference')} written to standard output", err=True)


def _report(exported: ExportedResults, target: str) -> None:
    for note in exported.notes[:_MOST_NOTES]:
        click.echo(f"edgebench: {note}", err=True)
    if len(exported.notes) > _MOST_NOTES:
        click.echo(f"edgebench: ... and {len(exported.notes) - _MOST_NOTES:,} more such lines", err=True)
    click.echo(f"{counted(exported.measurements, 'measurement')} written to {target}", err=True)


def _warn(error: StoreError) -> None:
    click.echo(f"edgebench: left out: {error}", err=True)
