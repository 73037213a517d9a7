"""Files of a store: names that are safe, JSON that is complete or not there, errors that say where."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgebench._version import __version__
from edgebench.errors import StoreError
from edgebench.measurement import FORMAT_VERSION
from edgebench.reading import parse_json, read_text
from edgebench.store.traces import first_line

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def is_id(id: str) -> bool:
    """Whether this may name a file or folder of a store."""
    return _ID.fullmatch(id) is not None


def checked_id(id: str) -> str:
    """Return the id.

    Raises:
        StoreError: it can't name a file or folder.
    """
    if not is_id(id):
        raise StoreError(f"{id!r} can't name a run or session; letters, digits, '_', '.' and '-' can")
    return id


@contextmanager
def writing(store: Path) -> Iterator[None]:
    """Translate what goes wrong while something is written to a store.

    Raises:
        StoreError: the store can't be written.
    """
    import duckdb

    try:
        yield
    except OSError as error:
        raise StoreError(f"can't write to the store {store}: {error.strerror}", hint="try another `store`") from error
    except duckdb.Error as error:
        raise StoreError(f"can't write to the store {store}: {first_line(error)}") from error


def to_text(values: Mapping[str, Any]) -> str:
    """Return a document as a store has it."""
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, in the name of a file that is not UTF-8
        text = json.dumps(values, indent=1, allow_nan=False) + "\n"
    return text


def replace_file(target: Path, text: str) -> None:
    """Write a file at once: whoever reads it sees the old one or the new one.

    Raises:
        OSError: it can't be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}")
    temporary.write_text(text, encoding="utf-8")
    sync(temporary)
    temporary.replace(target)
    sync(target.parent)


def read_json(path: Path, *, within: Path | None = None) -> dict[str, Any]:
    """Return a document; `within`: the folder that it must not lead out of (default: its own).

    Raises:
        StoreError: it can't be read, or is none.
    """
    try:
        values = parse_json(read_text(path, within=within or path.parent), exact=True)
    except OSError as error:
        raise StoreError(f"can't read {path}: {error.strerror}") from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}; remove it to go on without it") from error
    if not isinstance(values, dict):
        raise StoreError(f"{path} is damaged: not an object; remove it to go on without it")
    return values


def read_document(path: Path, *, within: Path | None = None) -> dict[str, Any]:
    """Return the JSON object of a file that has a `format_version`; `within`: as for `read_json`.

    Raises:
        StoreError: as `read_json`, or it is of a newer version.
    """
    values = read_json(path, within=within)
    version = values.get("format_version")
    if type(version) is int and version > FORMAT_VERSION:
        raise StoreError(
            f"{path} has format version {version}, this edgebench ({__version__}) reads up to {FORMAT_VERSION}",
            hint="try: pip install --upgrade edgebench",
        )
    return values


def sync(path: Path) -> None:
    """Make sure that a file or folder survives a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
