"""edgebench runs: what is stored."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click
import cloup

from edgebench.cli.groups import CommandGroup
from edgebench.cli.options import output_options, scores_option, store_option, verbosity_options
from edgebench.cli.output import console, to_stdout, write_json
from edgebench.errors import StoreError
from edgebench.text import counted


@cloup.group("runs", cls=CommandGroup)
def command() -> None:
    """List, show, export and resume what is stored.

    \b
    Example:
      edgebench runs list
    """


@command.command("list")
@output_options
def list_runs(store: Path, json_target: str | None) -> None:
    """List the measurements, the oldest session first.

    \b
    Example:
      edgebench runs list --store results
    """
    from edgebench.measurement import measurements_to_json
    from edgebench.store import Store

    measurements = Store(store).measurements(on_unreadable=_warn)
    write_json(json_target, measurements_to_json(measurements))
    if not measurements:
        click.echo(f"edgebench: nothing is stored in {store}; try: edgebench profile", err=True)
    elif to_stdout(json_target):
        from edgebench.report import list_of_measurements

        console().print(list_of_measurements(measurements))


@command.command("show")
@click.argument("id")
@output_options
def show(id: str, store: Path, json_target: str | None) -> None:
    """Show everything about one measurement; the beginning of its ID is enough.

    \b
    Example:
      edgebench runs show 20250101T120000-1a2b3c-000
    """
    from edgebench.analysis import tuned
    from edgebench.measurement import measurements_to_json
    from edgebench.store import Store

    kept = Store(store)
    measurement = kept.measurement(id)
    found = None
    if measurement.subject.device.tune is not None:
        found = tuned(kept.measurements(session=measurement.subject.session))
    document = measurements_to_json([measurement])
    write_json(json_target, document if found is None else document | {"tune": found.to_json()})
    if to_stdout(json_target):
        from edgebench.report import details_of, tables_below

        console().print(details_of(measurement))
        for part in tables_below(measurement):
            console().print(part, markup=False)
        if found is not None:
            console().print(f"\ntune: {found.sentence}", markup=False)


@command.command("export")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@cloup.option("--to", "kind", type=click.Choice(["csv", "parquet"]), required=True, help="What to write.")
@cloup.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE", help="Where to write it."
)
@cloup.option_group("Output", store_option, verbosity_options)
def export(ids: tuple[str, ...], kind: str, out: Path, store: Path) -> None:
    """Write one row per timed inference of these measurements. Default: of all.

    A row has run, variant, format, device and workload, and at the start of the inference: clock, temperature, throttle
    flags and load of other processes.

    \b
    Example:
      edgebench runs export 20250101T120000-1a2b3c-000 --to csv --out l.csv
    """
    from edgebench.store import Store

    count = Store(store).export(out, ids=ids, kind="csv" if kind == "csv" else "parquet")
    click.echo(f"{counted(count, 'inference')} written to {out}", err=True)


@command.command("resume")
@click.argument("session", required=False)
@scores_option
@output_options
def resume_session(session: str | None, scores: Path | None, store: Path, json_target: str | None) -> int:
    """Resume an interrupted session: measure its missing runs. Default: the latest session.

    \b
    Example:
      edgebench runs resume 20250101T120000-1a2b3c
    """
    from edgebench.cli.measuring import measure_and_show
    from edgebench.measure import resume
    from edgebench.request import request_from_json
    from edgebench.store import Store
    from edgebench.xtreme_r import read_scores

    rows = read_scores(scores) if scores is not None else []
    keep = Store(store)
    sessions = keep.sessions()
    if not sessions:
        raise StoreError(f"{store} holds no session to resume; try: edgebench profile")
    if session is None:
        click.echo(f"edgebench: going on with {max(sessions)}", err=True)
    chosen = session or max(sessions)
    return measure_and_show(
        {chosen: partial(resume, chosen, store=keep, scores=rows)},
        store=keep,
        json_target=json_target,
        scores=rows,
        margin=request_from_json(keep.read_session(chosen)).margin,
    )


def _warn(error: StoreError) -> None:
    click.echo(f"edgebench: left out: {error}", err=True)
