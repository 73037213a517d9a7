"""edgebench runs list, show: the stored measurements, and everything about one."""

from __future__ import annotations

import click
import cloup

from edgebench.cli.options import output_options
from edgebench.cli.output import console, to_stdout, write_json
from edgebench.cli.runs.selection import selection_of, selection_options
from edgebench.errors import StoreError


@cloup.command("list")
@selection_options
@output_options
def list_runs(store: str, json_target: str | None, **filters: str | None) -> None:
    """List the measurements, the oldest session first.

    \b
    Example:
      edgebench runs list --device pi4 --since 2025-01-01
    """
    from edgebench.measurement import measurements_to_json
    from edgebench.store import Store

    kept, where = Store(store), selection_of(filters)
    if json_target is None and (lines := kept.listed(where)):
        from edgebench.reporting import list_of_lines

        console().print(list_of_lines(lines))
        return
    measurements = kept.select(where, on_unreadable=_warn)
    write_json(json_target, measurements_to_json(measurements))
    if not measurements:
        some = where.wanted and kept.subjects()
        hint = kept.why_nothing_fits(where) if some else f"nothing is stored in {store}; try: edgebench profile"
        click.echo(f"edgebench: {hint}", err=True)
    elif to_stdout(json_target):
        from edgebench.reporting import list_of_measurements

        console().print(list_of_measurements(measurements))


@cloup.command("show")
@click.argument("id")
@output_options
def show(id: str, store: str, json_target: str | None) -> None:
    """Show everything about one measurement; the beginning of its ID is enough.

    \b
    Example:
      edgebench runs show 20250101T120000-1a2b3c-000
    """
    from dataclasses import replace

    from edgebench.analysis import tuned
    from edgebench.measure import scores_for
    from edgebench.measurement import measurements_to_json
    from edgebench.store import Store, stored_scores

    kept = Store(store)
    measurement = kept.measurement(id)
    rows, _ = stored_scores(kept, [measurement])
    measurement = replace(measurement, scores=tuple(scores_for(measurement.subject, rows)))
    found = None
    if measurement.subject.device.tune is not None:
        found = tuned(kept.measurements(session=measurement.subject.session))
    document = measurements_to_json([measurement])
    write_json(json_target, document if found is None else document | {"tune": found.to_json()})
    if to_stdout(json_target):
        from edgebench.reporting import details_of, tables_below

        console().print(details_of(measurement))
        for part in tables_below(measurement):
            console().print(part, markup=False)
        if found is not None:
            console().print(f"\ntune: {found.sentence}", markup=False)


def _warn(error: StoreError) -> None:
    click.echo(f"edgebench: left out: {error}", err=True)
