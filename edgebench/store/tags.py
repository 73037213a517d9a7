"""Tags: words that a user gives to measurements, `tags/MEASUREMENT.json`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgebench.errors import UsageError
from edgebench.store.documents import Documents
from edgebench.store.place import Conflict, Place

_ATTEMPTS = 10
_TAG = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}", re.ASCII)


def tags_of(place: Place) -> Documents[Sequence[str]]:
    """Return the tags of measurements, by measurement."""
    return Documents(place, "tags", lambda tags: {"format_version": 1, "tags": list(tags)}, _read)


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


def changed_tags(
    kept: Documents[Sequence[str]], id: str, tags: Sequence[str], *, remove: bool, keep_empty: bool
) -> tuple[str, ...]:
    """Add tags to a measurement, or remove them; return those that it has then. Another writer's are kept, too.

    Args:
        keep_empty: keep an empty list, because a removal can't be made to depend on what was read.

    Raises:
        UsageError: a tag is no word.
        StoreError: the store can't be written.
    """
    new = {checked_tag(tag) for tag in tags}
    attempts = 0
    while True:
        before = set(kept.read(id, at_once=True) or ())
        after = sorted(before - new if remove else before | new)
        attempts += 1
        try:
            if after or keep_empty:
                kept.replace(id, after)
            else:
                kept.remove(id)
            return tuple(after)
        except Conflict:
            if attempts == _ATTEMPTS:
                raise


def _read(values: dict[str, object]) -> Sequence[str]:
    tags = values["tags"]
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError("its tags are not a list of texts")
    return tuple(tags)
