"""Options that choose stored measurements: by device, variant, format, tag and date."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import cloup

from edgebench.artifact import Format
from edgebench.cli.numbers import duration_s
from edgebench.cli.options import Decorated
from edgebench.errors import UnknownName

if TYPE_CHECKING:
    from edgebench.store import Selection

_SPAN = re.compile(r"(?:\d+[dhms])+")


def selection_options(function: Decorated) -> Decorated:
    """Add the options; they are passed as keyword arguments, to be given to `selection_of`."""
    return cloup.option_group(
        "Which measurements",
        cloup.option("--device", metavar="NAME", help="Of this device."),
        cloup.option("--variant", metavar="NAME", help="Of this variant."),
        cloup.option("--format", metavar="F", help="Of this format."),
        cloup.option("--session", metavar="ID", help="Of the session whose ID begins so."),
        cloup.option("--tag", metavar="TAG", help="With this tag."),
        cloup.option("--since", metavar="DATE", help="Begun on this day (UTC) or later: 2026-01-31; 7d: 7 days ago."),
        cloup.option("--until", metavar="DATE", help="Begun on this day (UTC) or earlier."),
    )(function)


def selection_of(filters: Mapping[str, str | None]) -> Selection:
    """Return what these options choose.

    Raises:
        UsageError: a format or a date is none.
    """
    from edgebench.store import Selection

    format = filters.get("format")
    return Selection(
        device=filters.get("device"),
        variant=filters.get("variant"),
        format=_format(format),
        session=filters.get("session"),
        tag=filters.get("tag"),
        since=_moment(filters.get("since"), "--since"),
        until=_moment(filters.get("until"), "--until", is_end=True),
    )


def _format(name: str | None) -> str | None:
    """Return the name of a format; files that were measured as they are have one that no export has."""
    if name is not None and name not in set(Format):
        raise UnknownName("format", name, list(Format))
    return name


def _moment(text: str | None, option: str, *, is_end: bool = False) -> datetime | None:
    from edgebench.store import moment

    if text is None:
        return None
    ago = text.removesuffix(" ago")
    if _SPAN.fullmatch(ago):
        return datetime.now(UTC) - timedelta(seconds=duration_s(ago, option))
    return moment(text, is_end=is_end)
