"""edgebench device release: give up a board's lease."""

from __future__ import annotations

import click
import cloup

from edgebench.cli.options import result_options
from edgebench.cli.output import to_stdout, write_json


@cloup.command("release")
@click.argument("name")
@cloup.option("--force", is_flag=True, help="Also if somebody else has it; their measurement ends.")
@cloup.option("--reason", metavar="TEXT", help="Kept on the board, and told to whoever had it.")
@result_options
def command(name: str, force: bool, reason: str | None, json_target: str | None) -> None:
    """Give up a board's lease. It ends by itself two minutes after whoever holds it has gone.

    \b
    Example:
      edgebench device release pi4 --force --reason "CI job 812 hangs"
    """
    from edgebench.device import find_device
    from edgebench.provision import release_device

    done = release_device(find_device(name), force=force, reason=reason)
    write_json(json_target, done.to_json())
    if to_stdout(json_target):
        queue = f"; next: {done.waiting[0]}" if done.waiting else ""
        click.echo(f"{name}: {f'taken from {done.released}' if done.released else 'nobody had the board'}{queue}")
