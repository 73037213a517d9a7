"""Groups of commands whose help has the first sentence of each command in full."""

from __future__ import annotations

import click
import cloup

_LONGEST = 1_000  # characters of a sentence; longer than any


class CommandGroup(cloup.Group):
    """A group whose list of commands is wrapped and never cut off."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, each with the first sentence of its help."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        shown = [(name, each.get_short_help_str(_LONGEST)) for name, each in commands if each and not each.hidden]
        if shown:
            with formatter.section("Commands"):
                formatter.write_dl(shown)
