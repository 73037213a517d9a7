"""Index: immutable objects that say which runs a bucket has, so that nobody has to list or to read them one by one.

    index/<time>-<number>.json.gz     runs that were added, with their run.json; ids of runs that were deleted; and
                                      names of older objects whose content is in this one as well

A run is in the store from the moment in which an object names it: it is written last. A deletion is never taken back.
"""

from __future__ import annotations

import gzip
import re
import secrets
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from edgebench.errors import StoreError
from edgebench.reading import MIB, MOST_DOCUMENT_BYTES
from edgebench.store.digest import RunDigest
from edgebench.store.files import is_id

FOLDER = "index"
MOST_INDEX_BYTES = 64 * MIB
#: Of the longest run that is read: 200 million rows.
MOST_TRACE_BYTES = 4096 * MIB
_MOST_UNPACKED_BYTES = 512 * MIB
_NAME = re.compile(r"index/[0-9]{8}T[0-9]{12}-[0-9a-f]{8}\.json\.gz")
_FORMAT_VERSION = 1


class IndexedRun(msgspec.Struct, frozen=True):
    """A run with its run.json."""

    digest: RunDigest
    document: bytes


class _Run(msgspec.Struct, frozen=True):
    digest: RunDigest
    document: str


class IndexFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of one object of the index. `covers`: names of objects that need not be read besides this one."""

    format_version: int = _FORMAT_VERSION
    runs: tuple[_Run, ...] = ()
    deleted: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()

    def indexed(self) -> list[IndexedRun]:
        """Return its runs."""
        return [IndexedRun(each.digest, each.document.encode()) for each in self.runs]


def index_file(
    runs: Sequence[IndexedRun] = (), *, deleted: Sequence[str] = (), covers: Sequence[str] = ()
) -> tuple[str, bytes]:
    """Return the name and the content of a new object."""
    content = IndexFile(
        runs=tuple(_Run(each.digest, each.document.decode()) for each in runs),
        deleted=tuple(deleted),
        covers=tuple(covers),
    )
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    return f"{FOLDER}/{now}-{secrets.token_hex(4)}.json.gz", gzip.compress(msgspec.json.encode(content), 6, mtime=0)


def is_index_name(name: str) -> bool:
    """Whether an object may belong to the index."""
    return _NAME.fullmatch(name) is not None


def parse_index(content: bytes, where: str) -> IndexFile:
    """Return what an object of the index says.

    Args:
        where: its address, for the message.

    Raises:
        StoreError: it is damaged, too large, or of a newer version.
    """
    try:
        unpacker = zlib.decompressobj(wbits=31)
        text = unpacker.decompress(content, _MOST_UNPACKED_BYTES)
        if not unpacker.eof or unpacker.unused_data:
            raise ValueError("it is not complete, or larger than 512 MiB")
        found = msgspec.json.decode(text, type=IndexFile)
        if found.format_version > _FORMAT_VERSION:
            raise StoreError(
                f"{where} has format version {found.format_version}, this edgebench reads up to {_FORMAT_VERSION}",
                hint="try: pip install --upgrade edgebench",
            )
        for each in found.runs:
            _check_run(each)
        if bad := next((id for id in found.deleted if not is_id(id)), None):
            raise ValueError(f"{bad!r} can't name a run")
    except (zlib.error, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StoreError(
            f"{where} is damaged: {error}", hint="try: edgebench runs sync, which makes it again"
        ) from error
    return found


def _check_run(run: _Run) -> None:
    if not is_id(run.digest.id):
        raise ValueError(f"{run.digest.id!r} can't name a run")
    if len(run.document) > MOST_DOCUMENT_BYTES:
        raise ValueError(f"run.json of {run.digest.id} is too large")
    if not 0 <= (run.digest.trace_bytes or 0) <= MOST_TRACE_BYTES:
        raise ValueError(f"the trace of {run.digest.id} is too large")
    datetime.fromisoformat(run.digest.started_at)
