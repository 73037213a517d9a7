"""edgebench device clean: remove old files from a board."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click
import cloup

from edgebench.cli.numbers import time_span
from edgebench.cli.options import result_options
from edgebench.cli.output import console, to_stdout, write_json
from edgebench.errors import UsageError
from edgebench.text import significant

if TYPE_CHECKING:
    from edgebench.provision import Cleanup


_BYTES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Return a size such as 2GB, 500MB or 2GiB in bytes."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([KMG]I?|)B?", (value or "").upper())
    if value is not None and not match:
        raise click.BadParameter(f"{value!r} is not a size; try 2GB, 500MB or 0", ctx, param)
    return int(float(match[1]) * _BYTES[match[2]]) if match else None


@cloup.command("clean")
@click.argument("name")
@cloup.option("--older-than", callback=time_span, metavar="AGE", help="Remove what was last used longer ago: 30d, 12h.")
@cloup.option("--max-size", callback=_size, metavar="SIZE", help="Then remove the oldest until this size is left: 2GB.")
@cloup.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@result_options
def command(name: str, older_than: int | None, max_size: int | None, dry_run: bool, json_target: str | None) -> None:
    """Remove old models, inputs, journals and agents from a board. Files in use stay.

    \b
    Example:
      edgebench device clean pi4 --older-than 30d --max-size 2GB
    """
    from edgebench.device import find_device
    from edgebench.provision import clean_device

    if older_than is None and max_size is None:
        raise UsageError("say what may go: --older-than 30d, --max-size 2GB, or both")
    cleaned = clean_device(find_device(name), older_than_s=older_than, keep_bytes=max_size, dry_run=dry_run)
    write_json(json_target, cleaned.to_json())
    if to_stdout(json_target):
        _show_cleaned(cleaned)


def _show_cleaned(cleaned: Cleanup) -> None:
    from edgebench.reporting import PlainTable

    table = PlainTable("what", "MB", "last used, days ago", figures=("MB", "last used, days ago"))
    for thing in cleaned.removed:
        table.add_row(thing.name, significant(thing.bytes / 1e6), significant(thing.age_s / 86400))
    if cleaned.removed:
        console().print(table)
    verb, left = ("would remove", "would be") if cleaned.dry_run else ("removed", "are")
    click.echo(
        f"{cleaned.device}: {verb} {cleaned.removed_count} things, {cleaned.removed_bytes / 1e6:,.1f} MB; "
        f"{cleaned.kept_bytes / 1e6:,.1f} MB {left} left"
    )
