"""A group of commands whose help says all of what each command does."""

from __future__ import annotations

import click
import cloup


class Group(cloup.Group):
    """A group; the first sentence of a command's help is never cut in its list of commands."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                rows.append((name, _summary(command)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _summary(command: click.Command) -> str:
    """Return the first paragraph of a command's help, up to the end of its first sentence."""
    paragraph = " ".join((command.help or command.short_help or "").split("\n\n")[0].split())
    sentence, stop, _ = paragraph.partition(". ")
    return f"{sentence}." if stop else paragraph
