"""edgebench device: list, add, set up, check, release and clean boards."""

from __future__ import annotations

import cloup

from edgebench.cli.device import add, check, clean, listing, release, setup
from edgebench.cli.groups import CommandGroup


@cloup.group("device", cls=CommandGroup)
def command() -> None:
    """List, add, set up, check, release and clean boards.

    \b
    Example:
      edgebench device add pi4 --host pi@10.0.0.4 --copy-id
    """


for each in (listing, add, setup, check, release, clean):
    command.add_command(each.command)
