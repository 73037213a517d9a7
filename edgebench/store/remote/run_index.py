"""Which runs a bucket has: read from the objects of its index, and written to them."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from edgebench.errors import StoreError
from edgebench.reading import MOST_DOCUMENT_BYTES, read_bytes
from edgebench.store.digest import RunDigest, digest_of
from edgebench.store.files import is_id
from edgebench.store.remote.bucket import Bucket, ObjectInfo
from edgebench.store.remote.catalogue import Catalogue
from edgebench.store.remote.index import (
    FOLDER,
    MOST_INDEX_BYTES,
    MOST_TRACE_BYTES,
    IndexedRun,
    index_file,
    is_index_name,
    parse_index,
)
from edgebench.store.runs import read_run

#: Smaller objects of the index are merged once there are so many of them.
_SMALL_BYTES = 32 << 10
_MANY = 256
_RUNS_EACH = 1024
_ATTEMPTS = 3


class RunIndex:
    """The index of a bucket, as far as the catalogue has it."""

    def __init__(self, bucket: Bucket, catalogue: Catalogue, folder: Path) -> None:
        self._bucket, self._catalogue, self._folder = bucket, catalogue, folder

    def refresh(self, *, mend: bool = False) -> None:
        """Take in what is new in the index, and remove here what was deleted there.

        Args:
            mend: delete objects that are damaged; a scan finds the runs that they named.

        Raises:
            StoreError: it can't be read, or an object of it is damaged.
        """
        for _ in range(_ATTEMPTS):
            there = {name: info for name, info in self._bucket.listed(FOLDER).items() if is_index_name(name)}
            if self._take_in(there, mend=mend):
                return
        raise StoreError(f"can't read {self._bucket.address}: its index changes all the time; try again")

    def _take_in(self, there: dict[str, ObjectInfo], *, mend: bool) -> bool:
        """Take in objects; return False where one is gone: then another has its content by now."""
        new = {name: there[name] for name in sorted(there.keys() - self._catalogue.index_names(), reverse=True)}
        covered: set[str] = set()
        is_complete = True
        # The newest first: objects that one of them covers need not be read.
        large = {name: info for name, info in new.items() if info.size >= _SMALL_BYTES}
        for some in (large, {name: info for name, info in new.items() if name not in large}):
            for name, content in self._bucket.read(
                {each: info for each, info in some.items() if each not in covered}, most=MOST_INDEX_BYTES
            ):
                if content is None:
                    is_complete = False
                    continue
                try:
                    found = parse_index(content, self._bucket.shown(name))
                except StoreError:
                    if not mend:
                        raise
                    self._bucket.delete([name])
                    continue
                covered.update(each for each in found.covers if is_index_name(each))
                runs = found.indexed()
                self._catalogue.add(runs, found.deleted, [name])
                self._remove_here([*found.deleted, *(each.digest.id for each in runs if self._is_older_here(each))])
        self._catalogue.add((), (), covered)
        return is_complete

    def _is_older_here(self, run: IndexedRun) -> bool:
        """Whether the replica has a run as it was before it had ended."""
        path = self._folder / "runs" / run.digest.id / "run.json"
        return path.exists() and path.stat().st_size != len(run.document) and self._catalogue.has(run.digest.id)

    def _remove_here(self, deleted: Sequence[str]) -> None:
        for id in deleted:
            folder = self._folder / "runs" / id
            if folder.is_dir():
                aside = folder.with_name(f".{id}.{secrets.token_hex(4)}")
                with suppress(OSError):
                    folder.rename(aside)
                    shutil.rmtree(aside, ignore_errors=True)

    def add(self, ids: Sequence[str]) -> None:
        """Name runs in the index whose files are in the bucket: from now on they are in the store."""
        runs = [IndexedRun(self.digest_here(id), self._document(id)) for id in ids]
        for at in range(0, len(runs), _RUNS_EACH):
            self._write(runs[at : at + _RUNS_EACH])
        self._merge_if_many()

    def delete(self, ids: Sequence[str]) -> None:
        """Delete runs: the index says so first, then their objects go."""
        self._write(deleted=ids)
        self._bucket.delete([f"runs/{id}/{file}" for id in ids for file in ("run.json", "trace.parquet")])

    def _write(
        self, runs: Sequence[IndexedRun] = (), *, deleted: Sequence[str] = (), covers: Sequence[str] = ()
    ) -> None:
        name, content = index_file(runs, deleted=deleted, covers=covers)
        if self._bucket.create(name, content) is None:
            found = self._bucket.read_one(name, most=MOST_INDEX_BYTES)  # an answer that was lost, and a second attempt
            if found is None or found[0] != content:
                raise StoreError(f"can't write {self._bucket.shown(name)}: it is there already; try again")
        self._catalogue.add(runs, deleted, [name])

    def _merge_if_many(self) -> None:
        """Put the content of many small objects into a large one, so that a new reader needs few requests."""
        small = {
            name: info
            for name, info in self._bucket.listed(FOLDER).items()
            if is_index_name(name) and info.size < _SMALL_BYTES
        }
        if len(small) < _MANY:
            return
        runs: dict[str, IndexedRun] = {}
        deleted: set[str] = set()
        for name, content in self._bucket.read(small, most=_SMALL_BYTES):
            if content is None:
                return  # another writer merges
            found = parse_index(content, self._bucket.shown(name))
            deleted.update(found.deleted)
            for each in found.indexed():
                if each.digest.id not in runs or each.digest.valid:
                    runs[each.digest.id] = each
        self._write(
            [each for id, each in runs.items() if id not in deleted], deleted=sorted(deleted), covers=sorted(small)
        )
        self._bucket.delete(list(small))

    def scan(self, *, keep: bool = False) -> list[str]:
        """Find runs in the bucket that the index does not name; return their ids. A run that can't be read stays out.

        Args:
            keep: name them in the bucket's index, and remove what is left there of deleted runs.
        """
        there = self._bucket.listed("runs")
        deleted = self._catalogue.deleted()
        manifests: dict[str, ObjectInfo] = {}
        left_over: list[str] = []
        known = self._catalogue.ids()
        for name, info in there.items():
            _, _, rest = name.partition("/")
            id, _, file = rest.partition("/")
            if id in deleted and file in ("run.json", "trace.parquet"):
                left_over.append(name)
            is_new = file == "run.json" and is_id(id) and id not in known and id not in deleted
            trace = there.get(f"runs/{id}/trace.parquet")
            if is_new and trace is not None and info.size <= MOST_DOCUMENT_BYTES and trace.size <= MOST_TRACE_BYTES:
                manifests[name] = info
        found: list[IndexedRun] = []
        for name, content in self._bucket.read(manifests):
            id = name.split("/")[1]
            if content is None:
                continue
            with suppress(StoreError):
                size = there[f"runs/{id}/trace.parquet"].size
                found.append(IndexedRun(self._digest_of(id, content, size), content))
        if keep:
            for at in range(0, len(found), _RUNS_EACH):
                self._write(found[at : at + _RUNS_EACH])
            self._bucket.delete(left_over)
        else:
            self._catalogue.add(found, (), ())
        return [each.digest.id for each in found]

    def _digest_of(self, id: str, document: bytes, trace_bytes: int) -> RunDigest:
        """Return the digest of a run from its document, which the reader of every run checks."""
        folder = self._folder / ".bucket" / f"{id}.{secrets.token_hex(4)}" / id
        folder.mkdir(parents=True)
        try:
            (folder / "run.json").write_bytes(document)
            stored = read_run(folder)
        finally:
            shutil.rmtree(folder.parent, ignore_errors=True)
        if stored.run.id != id:
            raise StoreError(f"{self._bucket.shown(f'runs/{id}')} has the run {stored.run.id!r}")
        return msgspec.structs.replace(digest_of(stored.subject, stored.run), trace_bytes=trace_bytes)

    def digest_here(self, id: str) -> RunDigest:
        """Return the digest of a run in the replica.

        Raises:
            StoreError: it can't be read.
        """
        folder = self._folder / "runs" / id
        stored = read_run(folder)
        try:
            size = (folder / "trace.parquet").stat().st_size
        except OSError as error:
            raise StoreError(f"can't read {folder / 'trace.parquet'}: {error.strerror}") from error
        return msgspec.structs.replace(digest_of(stored.subject, stored.run), trace_bytes=size)

    def _document(self, id: str) -> bytes:
        path = self._folder / "runs" / id / "run.json"
        try:
            return read_bytes(path, within=path.parent)
        except OSError as error:
            raise StoreError(f"can't read {path}: {error.strerror}") from error
