"""Catalogue: what this machine knows of a bucket, in SQLite beside the replica, for any number of processes.

It holds what may be read from the bucket again. What is in the replica and not in it is not in the bucket yet: no list
of what is to be sent has to be kept, and none can be lost.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgebench.errors import StoreError
from edgebench.store.digest import RunDigest
from edgebench.store.remote.index import IndexedRun

_VERSION = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, digest BLOB NOT NULL, document BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS deleted (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS index_files (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS objects (
    name TEXT PRIMARY KEY, version TEXT NOT NULL, mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL,
    seen_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_BUSY_S = 30


@dataclass(frozen=True, slots=True)
class KnownObject:
    """A document that folder and bucket had alike. `seen_at`: when that was so, time.time().

    `version`: of the object; `mtime_ns`, `size`: of the file.
    """

    version: str
    mtime_ns: int
    size: int
    seen_at: float


class Catalogue:
    """The tables. They appear with the first thing that is kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._of_thread = threading.local()

    @contextmanager
    def _tables(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection of this thread; what is done within happens at once, or not at all."""
        try:
            connection: sqlite3.Connection | None = getattr(self._of_thread, "connection", None)
            if connection is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                connection = sqlite3.connect(self._path, timeout=_BUSY_S)
                connection.executescript(f"PRAGMA journal_mode = WAL; PRAGMA user_version = {_VERSION}; {_TABLES}")
                self._of_thread.connection = connection
            with connection:
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"can't use {self._path}: {error}; remove it: it is made again, and nothing of the store is lost"
            ) from error

    def fact(self, name: str) -> str | None:
        """Return a fact about the bucket."""
        with self._tables() as tables:
            row = tables.execute("SELECT value FROM facts WHERE name = ?", [name]).fetchone()
        return str(row[0]) if row else None

    def note(self, name: str, value: str) -> None:
        """Keep a fact about the bucket."""
        with self._tables() as tables:
            tables.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", [name, value])

    # --- runs ---------------------------------------------------------------------------------------------------

    def index_names(self) -> set[str]:
        """Return the names of the index files that were taken in."""
        with self._tables() as tables:
            return {name for (name,) in tables.execute("SELECT name FROM index_files")}

    def add(self, runs: Iterable[IndexedRun], deleted: Iterable[str], index_files: Iterable[str]) -> None:
        """Take in what index files say. A deleted run stays so; one that is valid replaces one that had not ended."""
        with self._tables() as tables:
            tables.executemany("INSERT OR IGNORE INTO deleted VALUES (?)", [(id,) for id in deleted])
            tables.executemany(
                "INSERT INTO runs SELECT ?1, ?2, ?3 WHERE true "
                "ON CONFLICT (id) DO UPDATE SET digest = ?2, document = ?3 WHERE ?4",
                [(each.digest.id, msgspec.json.encode(each.digest), each.document, each.digest.valid) for each in runs],
            )
            tables.execute("DELETE FROM runs WHERE id IN (SELECT id FROM deleted)")
            tables.executemany("INSERT OR IGNORE INTO index_files VALUES (?)", [(name,) for name in index_files])

    def digests(self) -> list[RunDigest]:
        """Return the digests of all runs in the bucket."""
        with self._tables() as tables:
            found = [digest for (digest,) in tables.execute("SELECT digest FROM runs")]
        decode = msgspec.json.Decoder(RunDigest).decode
        return [decode(each) for each in found]

    def ids(self) -> set[str]:
        """Return the ids of all runs in the bucket."""
        with self._tables() as tables:
            return {id for (id,) in tables.execute("SELECT id FROM runs")}

    def has(self, id: str) -> bool:
        """Return whether the bucket has a run."""
        with self._tables() as tables:
            return tables.execute("SELECT 1 FROM runs WHERE id = ?", [id]).fetchone() is not None

    def deleted(self) -> set[str]:
        """Return the ids of runs that were deleted from the bucket."""
        with self._tables() as tables:
            return {id for (id,) in tables.execute("SELECT id FROM deleted")}

    def documents(self, ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the `run.json` of runs, by id."""
        for at in range(0, len(ids), 500):
            some = ids[at : at + 500]
            with self._tables() as tables:
                marks = ",".join("?" * len(some))
                yield from tables.execute(f"SELECT id, document FROM runs WHERE id IN ({marks})", some).fetchall()  # noqa: S608

    def forget(self, ids: Collection[str]) -> None:
        """Forget runs: what the replica has of them is to be sent."""
        with self._tables() as tables:
            tables.executemany("DELETE FROM runs WHERE id = ?", [(id,) for id in ids])

    # --- documents ----------------------------------------------------------------------------------------------

    def object(self, name: str) -> KnownObject | None:
        """Return what is known of a document."""
        with self._tables() as tables:
            row = tables.execute(
                "SELECT version, mtime_ns, size, seen_at FROM objects WHERE name = ?", [name]
            ).fetchone()
        return KnownObject(*row) if row else None

    def objects(self, folder: str) -> dict[str, KnownObject]:
        """Return the documents below a folder, by name."""
        with self._tables() as tables:
            rows = tables.execute(
                "SELECT name, version, mtime_ns, size, seen_at FROM objects WHERE substr(name, 1, ?) = ?",
                [len(folder) + 1, f"{folder}/"],
            ).fetchall()
        return {row[0]: KnownObject(*row[1:]) for row in rows}

    def note_objects(self, known: Iterable[tuple[str, KnownObject]]) -> None:
        """Keep what is known of documents."""
        with self._tables() as tables:
            tables.executemany(
                "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)",
                [(name, of.version, of.mtime_ns, of.size, of.seen_at) for name, of in known],
            )

    def forget_objects(self, names: Iterable[str]) -> None:
        """Forget documents."""
        with self._tables() as tables:
            tables.executemany("DELETE FROM objects WHERE name = ?", [(name,) for name in names])
