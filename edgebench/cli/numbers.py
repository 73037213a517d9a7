"""Lists and time spans in options: `32,64,128`, `45m`."""

from __future__ import annotations

import re

import click

from edgebench.errors import UsageError


def parts(listed: str | None) -> list[str]:
    """Return the distinct parts of a comma-separated list. Measuring a row twice would only take longer."""
    return list(dict.fromkeys(part.strip() for part in listed.split(",") if part.strip())) if listed else []


def whole_numbers(listed: str | None, option: str) -> list[int]:
    """Return the numbers of a list.

    Raises:
        UsageError: a part is not a number.
    """
    return [_whole(number, option) for number in parts(listed)]


def time_span(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Return a time such as 30d, 1h30m, 90s or 0 in seconds, for an option's callback."""
    return value if value is None else 0 if value == "0" else duration_s(value, param.opts[0])


_DURATION = re.compile(r"(?:(\d{1,5})d)?(?:(\d{1,4})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?")


def duration_s(text: str, option: str) -> int:
    """Return the seconds of a time such as `90s`, `20m` or `1h30m`.

    Raises:
        UsageError: it is not a duration, or is zero.
    """
    found = _DURATION.fullmatch(text.strip())
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0, 0)
    total = 86_400 * days + 3600 * hours + 60 * minutes + seconds
    if total == 0:
        raise UsageError(f"{option}: {text!r} is not a time; try 90s, 20m, 1h30m or 30d")
    return total


def shown_duration(seconds: int) -> str:
    """Return a time as `duration_s` reads it back: `30m`, `1h30m`, `0`."""
    shown = ""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        shown += f"{count}{unit}" if count else ""
    return shown or "0"


def _whole(text: str, option: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"{option}: {text!r} is not a whole number") from error
