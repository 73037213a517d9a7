"""Files of a store: names that are safe, JSON that is complete or not there, errors that say where."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edgebench._version import __version__
from edgebench.errors import StoreError
from edgebench.measurement import FORMAT_VERSION
from edgebench.reading import parse_json, read_text

#: Nothing takes so long to write.
LEFT_OVER_S = 3600.0
_LEFT_OVER = re.compile(r"\.(?:probe-.*|.+\.[0-9a-f]{8})")
_PROBE_BYTES = 1 << 20
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
    except (duckdb.Error, MemoryError) as error:
        raise StoreError(f"can't write to the store {store}: {_why_not(store, error)}") from error


def _why_not(store: Path, error: Exception) -> str:
    """Return why DuckDB could not write, as the system says it: DuckDB's own words name its files and its sources."""
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return os.strerror(errno.ENOMEM)
    try:
        descriptor, name = tempfile.mkstemp(prefix=".probe-", dir=store)
        try:
            os.write(descriptor, bytes(_PROBE_BYTES))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            Path(name).unlink()
    except OSError as probed:
        return probed.strerror or "it is not writable"
    known = {os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)}
    return next((text for text in known if text in str(error)), "a trace could not be written")


def sweep(folder: Path, *, older_than_s: float = LEFT_OVER_S) -> None:
    """Remove what a process that was killed while it wrote has left: names that begin with a dot and end with a number.

    What is younger may be of a process that still writes. What can't be removed stays.
    """
    if not folder.is_dir():
        return
    oldest_s = time.time() - older_than_s
    for path in folder.iterdir():
        with suppress(OSError):
            if _LEFT_OVER.fullmatch(path.name) and path.lstat().st_mtime < oldest_s:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def check_writable(store: Path, folders: Sequence[Path]) -> None:
    """Make folders of a store, and a file in each of them, which is removed again.

    Raises:
        StoreError: one can't be made or written.
    """
    with writing(store):
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".probe-{secrets.token_hex(4)}"
            probe.touch()
            probe.unlink()


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
