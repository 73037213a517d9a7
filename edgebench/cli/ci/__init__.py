"""edgebench ci: recipes for CI systems."""

from __future__ import annotations

import cloup

from edgebench.cli.ci import init
from edgebench.cli.groups import Group


@cloup.group("ci", cls=Group)
def command() -> None:
    """Write a CI job that measures on a board.

    \b
    Example:
      edgebench ci init --device pi4 --model runs/xnli-multi
    """


command.add_command(init.command)
