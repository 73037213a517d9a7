"""The marker: the object that says that a prefix is a store, and which one.

Without it a store that was made anew, or another bucket of that name, would be taken for the one that this machine
knows.
"""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path

from edgebench.errors import StoreError
from edgebench.reading import parse_json
from edgebench.store.remote.bucket import Bucket
from edgebench.store.remote.catalogue import Catalogue
from edgebench.store.remote.documents import ARTIFACTS
from edgebench.store.remote.index import FOLDER
from edgebench.store.stored_documents import KINDS
from edgebench.text import printable

MARKER = "edgebench-store.json"
_MOST_BYTES = 1 << 16
_STORE_ID = re.compile(r"[0-9a-f]{32}")
_FACT = "store"
#: What a store has at its top.
_NAMES = frozenset((MARKER, FOLDER, ARTIFACTS, "runs", *KINDS))


def check_marker(bucket: Bucket, catalogue: Catalogue, folder: Path) -> bool:
    """Check that a prefix is a store, or nothing yet; return whether it has the marker.

    Raises:
        StoreError: it holds something else, or is not the store that this machine knows.
    """
    known = catalogue.fact(_FACT)
    found = bucket.read_one(MARKER, most=_MOST_BYTES)
    if found is not None:
        id = _id_of(found[0], bucket.shown(MARKER))
        if known not in (None, id):
            raise StoreError(f"{bucket.address} is another store than before", hint=_how_to_keep(folder))
        if known is None:
            catalogue.note(_FACT, id)
        return True
    if known is not None:
        raise StoreError(f"{bucket.address} no longer holds the store that was there", hint=_how_to_keep(folder))
    if other := sorted(name for name in bucket.top_names() if name not in _NAMES):
        raise StoreError(
            f"{bucket.address} holds something else than a store: {printable(other[0])}", hint="name another prefix"
        )
    return False


def write_marker(bucket: Bucket, catalogue: Catalogue) -> None:
    """Make a prefix a store; whoever is first decides which.

    Raises:
        StoreError: it can't be written.
    """
    id = secrets.token_hex(16)
    document = {"format_version": 1, "kind": "edgebench store", "id": id}
    if bucket.create(MARKER, (json.dumps(document, indent=1) + "\n").encode()) is None:
        found = bucket.read_one(MARKER, most=_MOST_BYTES)
        if found is None:
            raise StoreError(f"can't write {bucket.shown(MARKER)}: somebody removes it; try again")
        id = _id_of(found[0], bucket.shown(MARKER))
    catalogue.note(_FACT, id)


def _id_of(content: bytes, where: str) -> str:
    try:
        values = parse_json(content, exact=True)
        version, id = values["format_version"], values["id"]
        if version != 1:
            raise StoreError(
                f"{where} has format version {printable(str(version))}, this edgebench reads 1",
                hint="try: pip install --upgrade edgebench",
            )
        if not isinstance(id, str) or not _STORE_ID.fullmatch(id):
            raise ValueError("its id is none")
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{where} is damaged: {error}; name another prefix, or write it again") from error
    return id


def _how_to_keep(folder: Path) -> str:
    return (
        f"what this machine has of the old one is in {folder}; bring it to a new prefix: "
        f"edgebench runs sync --from {folder} --store NEW"
    )
