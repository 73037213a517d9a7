"""Which store a caller means: a Store, a location, or none, which is the default folder."""

from __future__ import annotations

import os
from pathlib import Path

from edgebench.store.store import Store

DEFAULT_FOLDER = ".edgebench"


def default_folder() -> str:
    """Return where results are kept: $EDGEBENCH_STORE, else `.edgebench` in the working folder."""
    return os.environ.get("EDGEBENCH_STORE") or DEFAULT_FOLDER


def open_store(store: Store | str | Path | None = None) -> Store:
    """Return a store: this one, that of this folder or address, or by default $EDGEBENCH_STORE, else `.edgebench`.

    An address is that of a bucket, `s3://bucket/prefix` say; it needs the extra `bucket`. Nothing is read or written
    yet.

    Raises:
        ConfigError: the address has an unknown scheme, or names no bucket.
    """
    return store if isinstance(store, Store) else Store(store if store is not None else default_folder())
