"""edgebench device remove: remove a board from edgebench.toml."""

from __future__ import annotations

import shlex
import sys

import click
import cloup

from edgebench.cli.options import verbosity_options
from edgebench.errors import ConfigError, UsageError


@cloup.command("remove")
@click.argument("name")
@cloup.option("--yes", is_flag=True, help="Do not ask.")
@verbosity_options
def command(name: str, yes: bool) -> None:
    """Remove a board from edgebench.toml. What edgebench has put on the board stays there.

    \b
    Example:
      edgebench device remove pi4 --yes
    """
    from edgebench.board import remove_device
    from edgebench.device import configured_devices, find_device

    device = find_device(name)
    if device.origin is None:
        raise ConfigError(f"{name!r} is built in; only boards of edgebench.toml can be removed")
    rest = f"edgebench device setup {shlex.quote(name)} --remove"
    if not yes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(f"{name} stays in {device.origin}: there is no terminal to confirm it; pass --yes")
        click.echo(f"what edgebench has installed on {name} stays there; to remove that, first: {rest}", err=True)
        if not click.confirm(f"Remove {name} ({device.address}) from {device.origin}?", err=True):
            raise click.Abort
    path = remove_device(name)
    said = f"{name} is no longer in {path}; files of edgebench on {device.address} stay (~/.edgebench there)"
    left = configured_devices().get(name)
    click.echo(said if left is None else f"{said}; {left.origin} names {name}, too, and counts now")
