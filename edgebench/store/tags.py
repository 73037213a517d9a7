"""Tags: words that a user gives to measurements, `tags/MEASUREMENT.json`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from edgebench.errors import UsageError
from edgebench.store.documents import Documents

_TAG = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}", re.ASCII)


def tags_of(store: Path) -> Documents[Sequence[str]]:
    """Return the tags of measurements, by measurement."""
    return Documents(store, "tags", lambda tags: {"format_version": 1, "tags": list(tags)}, _read)


def checked_tag(tag: str) -> str:
    """Return the tag.

    Raises:
        UsageError: it is no word.
    """
    if not _TAG.fullmatch(tag):
        raise UsageError(
            f"{tag!r} can't be a tag; it begins with a letter or a digit and has letters, digits, '_', '.', '+', '-'"
        )
    return tag


def _read(values: dict[str, object]) -> Sequence[str]:
    tags = values["tags"]
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError("its tags are not a list of texts")
    return tuple(tags)
