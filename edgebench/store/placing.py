"""Which place a location is: that of a folder, or of a bucket."""

from __future__ import annotations

from pathlib import Path

from edgebench.store.location import Address, parse_location
from edgebench.store.place import Place


def place_of(location: str | Path) -> Place:
    """Return the place of a store; nothing is read or written yet.

    Raises:
        ConfigError: it is an address with an unknown scheme, or without a bucket.
    """
    parsed = parse_location(location)
    if not isinstance(parsed, Address):
        return Place(parsed, str(parsed))
    from edgebench.store.remote.replica import BucketPlace

    return BucketPlace(parsed)
