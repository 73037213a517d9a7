"""edgebench device release: give up a board's lease."""

from __future__ import annotations

import click
import cloup

from edgebench.cli.options import result_options
from edgebench.cli.output import to_stdout, write_json
from edgebench.errors import UsageError


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
    from edgebench.errors import BoardBusy
    from edgebench.provision import release_seen, see_lease

    device = find_device(name)
    seen = see_lease(device)
    holder, waiting = seen.holder, list(seen.waiting)
    if holder is not None and not seen.is_ours and not force:
        raise BoardBusy(
            f"{name}: {holder} has the board since {holder.since}; to end that: "
            f"edgebench device release {name} --force --reason '...'"
        )
    if holder is not None and not seen.is_ours and not reason:
        raise UsageError("--force takes a --reason: it is told to whoever has the board")
    released = release_seen(device, seen, reason=reason or "released by its own user")
    write_json(
        json_target,
        {"device": name, "released": released.to_json() if released else None, "waiting": waiting},
    )
    if to_stdout(json_target):
        queue = f"; next: {waiting[0]}" if waiting else ""
        click.echo(f"{name}: {f'taken from {released}' if released else 'nobody had the board'}{queue}")
