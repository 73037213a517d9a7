"""Lists in options: `32,64,128`."""

from __future__ import annotations

from edgebench.errors import UsageError


def parts(listed: str | None) -> list[str]:
    """Return the parts of a list, each once: the same row twice would only take twice the time."""
    return list(dict.fromkeys(part.strip() for part in listed.split(",") if part.strip())) if listed else []


def whole_numbers(listed: str | None, option: str) -> list[int]:
    """Return the numbers of a list.

    Raises:
        UsageError: one is none.
    """
    return [_whole(number, option) for number in parts(listed)]


def _whole(text: str, option: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"{option}: {text!r} is not a whole number") from error
