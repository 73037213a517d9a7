"""Lists and time spans in options: `32,64,128`, `45m`."""

from __future__ import annotations

import re

import click

from edgebench.errors import UsageError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parts(listed: str | None) -> list[str]:
    """Return the parts of a list, each once: the same row twice would only take twice the time."""
    return list(dict.fromkeys(part.strip() for part in listed.split(",") if part.strip())) if listed else []


def whole_numbers(listed: str | None, option: str) -> list[int]:
    """Return the numbers of a list.

    Raises:
        UsageError: one is none.
    """
    return [_whole(number, option) for number in parts(listed)]


def time_span(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Return a time span such as 30d, 12h, 45m, 90s or 0 in seconds."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", value or "")
    if value is not None and value != "0" and not match:
        raise click.BadParameter(f"{value!r} is not a time span; try 30d, 12h, 45m or 90s", ctx, param)
    return (int(match[1]) * _SECONDS[match[2]] if match else 0) if value is not None else None


def _whole(text: str, option: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"{option}: {text!r} is not a whole number") from error
