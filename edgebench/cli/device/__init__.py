"""edgebench device: list, add, set up, check, release, clean and remove boards."""

from __future__ import annotations

import cloup

from edgebench.cli.device import add, check, clean, listing, release, remove, setup
from edgebench.cli.groups import Group


@cloup.group("device", cls=Group)
def command() -> None:
    """List, add, set up, check, release, clean and remove boards.

    \b
    Example:
      edgebench device add pi4 --host pi@10.0.0.4 --copy-id
    """


for each in (listing, add, setup, check, release, clean, remove):
    command.add_command(each.command)
