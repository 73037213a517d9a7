"""Replica: the folder that stands for a bucket here, and what is brought from one to the other."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path

from edgebench import ending
from edgebench.errors import StoreError
from edgebench.store.digest import RunDigest
from edgebench.store.files import is_id, writing
from edgebench.store.location import Address
from edgebench.store.place import Place
from edgebench.store.remote.bucket import Bucket, ObjectInfo
from edgebench.store.remote.catalogue import Catalogue
from edgebench.store.remote.documents import DocumentSync, place_file
from edgebench.store.remote.marker import check_marker, write_marker
from edgebench.store.remote.run_index import RunIndex
from edgebench.store.remote.sending import RunSender
from edgebench.store.stored_documents import KINDS

#: What a place knows of the bucket is looked up again after this time.
FRESH_S = 5.0
#: After a failure, what is measured meanwhile is kept here without trying again.
_PAUSE_S = 60.0
_DOWNLOAD_BYTES = 8 << 20


def replica_folder(address: Address) -> Path:
    """Return the folder of an address: below $XDG_DATA_HOME, because it may hold what is not in the bucket yet."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    of = str(address)
    if address.scheme == "s3":  # the same name is another bucket at another service
        of += " " + (os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "")
    elif address.scheme == "memory":
        of += f" {os.getpid()}"
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in str(address.path))[-60:]
    return data / "edgebench" / "stores" / f"{name}-{hashlib.sha256(of.encode()).hexdigest()[:12]}"


class BucketPlace(Place):
    """The place of a store in a bucket: its folder is a replica. Constructing it touches nothing."""

    is_remote = True

    def __init__(self, address: Address) -> None:
        super().__init__(replica_folder(address), str(address))
        self.bucket = Bucket(address)
        self._catalogue = Catalogue(self.folder / ".bucket" / "catalogue.sqlite")
        self._index = RunIndex(self.bucket, self._catalogue, self.folder)
        self._runs = RunSender(self.bucket, self._catalogue, self._index, self.folder)
        self._documents = DocumentSync(self.bucket, self._catalogue, self.folder)
        self._lock = threading.RLock()
        self._read_at: dict[str, float] = {}
        self._is_writing = False
        self._is_marked = False
        self._paused_until = 0.0
        self._problem: str | None = None

    def begin_writing(self) -> None:
        with self._lock:
            self.sync()
            self._is_writing = True

    # --- from the bucket ----------------------------------------------------------------------------------------

    def digests(self) -> list[RunDigest]:
        with self._lock:
            self._refresh_index()
            found = {each.id: each for each in self._catalogue.digests()}
            for id in self._runs.unsent():
                with suppress(StoreError):
                    found[id] = self._index.digest_here(id)
            return list(found.values())

    def deleted_runs(self) -> set[str]:
        return self._catalogue.deleted()

    def knows_run(self, id: str) -> bool:
        return self._catalogue.has(id)

    def bring_runs(self, wanted: Callable[[str], bool] = lambda _: True) -> None:
        with self._lock:
            self._refresh_index()
            here = self._runs.here()
            missing = [id for id in self._catalogue.ids() - here if wanted(id)]
            with writing(self.folder):
                for id, document in self._catalogue.documents(missing):
                    _place_run(self.folder / "runs" / id, document)

    def bring_traces(self, ids: Collection[str]) -> None:
        with self._lock:
            missing = {id for id in ids if is_id(id) and not self._trace(id).exists()}
            if not missing:
                return
            sizes = {each.id: each.trace_bytes or 0 for each in self._catalogue.digests() if each.id in missing}
            small = {
                f"runs/{id}/trace.parquet": ObjectInfo(size, "")
                for id, size in sizes.items()
                if size <= _DOWNLOAD_BYTES
            }
            with writing(self.folder):
                for name, content in self.bucket.read(small, most=_DOWNLOAD_BYTES):
                    if content is not None:
                        place_file(self.folder / name, content)
            for id, size in sizes.items():
                if size > _DOWNLOAD_BYTES:
                    self._documents.download(f"runs/{id}/trace.parquet", size)

    def bring_documents(self, kind: str, *, at_once: bool = False) -> None:
        with self._lock:
            if not at_once and self._is_fresh(kind):
                return
            try:
                self._check()
                self._documents.fetch(kind)
            except StoreError as error:
                self._bear(error)
                return
            self._read_at[kind] = time.monotonic()

    def bring_artifact(self, name: str) -> None:
        with self._lock:
            self._check()
            self._documents.fetch_artifact(name)

    def _refresh_index(self) -> None:
        if self._is_fresh("index"):
            return
        try:
            is_marked = self._check()
            self._index.refresh()
            if not is_marked:
                self._index.scan()
        except StoreError as error:
            self._bear(error)
            return
        self._read_at["index"] = time.monotonic()

    def _is_fresh(self, what: str) -> bool:
        now = time.monotonic()
        return now - self._read_at.get(what, -FRESH_S) < FRESH_S or (self._is_writing and now < self._paused_until)

    def _check(self) -> bool:
        if not self._is_marked:
            self._is_marked = check_marker(self.bucket, self._catalogue, self.folder)
        return self._is_marked

    def _mark(self) -> None:
        if not self._check():
            write_marker(self.bucket, self._catalogue)
            self._is_marked = True

    # --- to the bucket ------------------------------------------------------------------------------------------

    def send_runs(self, ids: Sequence[str]) -> None:
        def send() -> None:
            self._refresh_index()
            self._mark()
            self._runs.send(ids)

        self._catalogue.forget(ids)  # of a run that was kept before it had ended
        self._send_or_keep(send)

    def send_document(self, path: Path) -> None:
        def send() -> None:
            self._mark()
            self._documents.send(path)

        self._send_or_keep(send)

    def send_artifact(self, name: str) -> None:
        with self._lock:
            self._mark()
            self._documents.send_artifact(name)

    def replace_document(self, path: Path, content: bytes) -> None:
        with self._lock:
            self._mark()
            self._documents.replace(path, content)

    def remove_documents(self, paths: Sequence[Path]) -> None:
        with self._lock:
            self._mark()
            self._documents.remove(paths)

    def remove_runs(self, ids: Sequence[str]) -> None:
        with self._lock:
            self._mark()
            self._index.delete(ids)

    def _send_or_keep(self, send: Callable[[], None]) -> None:
        """Bring there what is kept here in any case. A session that measures goes on if it can't be brought.

        Raises:
            StoreError: it can't be brought, and no session measures.
        """
        with self._lock:
            if ending.has_begun():
                self._problem = "the session was interrupted"
                return
            if self._is_writing and time.monotonic() < self._paused_until:
                return
            try:
                send()
            except StoreError as error:
                if not self._is_writing:
                    message = f"{error}; what was written is kept in {self.folder}"
                    raise StoreError(message, hint=f"try: {self.sync_command}") from error
                self._bear(error)

    def _bear(self, error: StoreError) -> None:
        """Go on without the bucket where a session measures; otherwise raise."""
        if not self._is_writing:
            raise error
        self._paused_until = time.monotonic() + _PAUSE_S
        self._problem = str(error)

    # --- what is kept here only ---------------------------------------------------------------------------------

    @property
    def sync_command(self) -> str:
        """The command that brings there what is kept here."""
        import shlex

        return f"edgebench runs sync --store {shlex.quote(self.location)}"

    def take_problem(self) -> str | None:
        """Return what went wrong with the bucket since this was asked last."""
        with self._lock:
            problem, self._problem = self._problem, None
            return problem

    def unsent(self) -> tuple[list[str], list[Path]]:
        """Return the runs, and the documents and folders of artifacts, that are kept here only."""
        with self._lock:
            return self._runs.unsent(), self._documents.unsent()

    def sync(self, *, everything: bool = False) -> tuple[int, int]:
        """Bring there what is kept here; return how many runs and documents that were.

        Args:
            everything: also take in runs that others put into the bucket without the index, and mend the index.

        Raises:
            StoreError: something can't be brought there; what could is, and nothing is lost.
        """
        with self._lock:
            self._is_writing, self._paused_until = False, 0.0
            self._check()
            self._index.refresh(mend=everything)
            self._read_at["index"] = time.monotonic()
            self._mark()
            if everything:
                self._index.scan(keep=True)
            unsent = self._documents.unsent()
            for kind in {path.parent.name for path in unsent}.intersection(KINDS):
                self._documents.fetch(kind)  # what was deleted meanwhile is not brought back
            runs, documents = self._runs.send(self._runs.unsent()), self._documents.unsent()
            for path in documents:
                self._documents.send_unsent(path)
            return runs, len(documents)

    # --- names and files ----------------------------------------------------------------------------------------

    def shown(self, text: str) -> str:
        return text.replace(str(self.folder), self.location)

    def _trace(self, id: str) -> Path:
        return self.folder / "runs" / id / "trace.parquet"


def _place_run(folder: Path, document: bytes) -> None:
    """Make the folder of a run that is in the bucket, at once."""
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    temporary.mkdir(parents=True)
    (temporary / "run.json").write_bytes(document)
    try:
        temporary.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(temporary, ignore_errors=True)
        if not folder.is_dir():
            raise
