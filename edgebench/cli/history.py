"""edgebench history: ratios to the anchor over time, with change points."""

from __future__ import annotations

import click
import cloup

from edgebench.cli.options import output_options
from edgebench.cli.output import check_json_target, console, to_stdout, write_json
from edgebench.errors import MissingExtra


@cloup.command("history")
@click.argument("name", required=False)
@output_options
def command(name: str | None, store: str, json_target: str | None) -> None:
    """Show how candidates compared with the anchor, gate by gate, and where the level changed.

    NAME is a board, an anchor, a workload or a variant; without it, all are shown. Each gate measured the anchor in its
    own session, so that the ratios of different days can be compared.

    \b
    Example:
      edgebench history pi4
    """
    from edgebench.gating import gate_history
    from edgebench.measurement import FORMAT_VERSION

    check_json_target(json_target)
    try:
        histories = gate_history(name, store=store)
    except MissingExtra as error:
        click.echo(f"edgebench: {error}", err=True)
        histories = gate_history(name, store=store, changes=False)
    write_json(json_target, {"format_version": FORMAT_VERSION, "histories": [each.to_json() for each in histories]})
    if not histories:
        said = f"no gate in {store} has measured an anchor; pin one: edgebench gate accept ID --anchor"
        click.echo(f"edgebench: {said}", err=True)
    elif to_stdout(json_target):
        from edgebench.reporting import history_parts

        for part in history_parts(histories):
            console().print(part, markup=False)
