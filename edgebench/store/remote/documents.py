"""Documents and artifacts of a bucket: brought here as they are asked for, and there as they are written.

A document may be replaced. Each replacement depends on the version that this machine knows; of two that were written in
two places, the one that comes last stays, except tags, which are made anew from what is there.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from edgebench.errors import StoreError
from edgebench.reading import read_bytes
from edgebench.store.files import is_id, writing
from edgebench.store.place import Conflict
from edgebench.store.remote.bucket import Bucket, ObjectInfo
from edgebench.store.remote.catalogue import Catalogue, KnownObject
from edgebench.store.stored_documents import KINDS

ARTIFACTS = "artifacts"
RECORD = "artifact.json"
_ATTEMPTS = 5


class DocumentSync:
    """The documents of a bucket and of its replica."""

    def __init__(self, bucket: Bucket, catalogue: Catalogue, folder: Path) -> None:
        self._bucket, self._catalogue, self._folder = bucket, catalogue, folder

    def fetch(self, kind: str) -> None:
        """Bring the documents of a kind here that are new there, and remove here what was removed there.

        Raises:
            StoreError: they can't be read, or not be written here.
        """
        began = time.time()
        there = {name: info for name, info in self._bucket.listed(kind).items() if _is_document(name, kind)}
        known = self._catalogue.objects(kind)
        wanted: dict[str, ObjectInfo] = {}
        for name, info in there.items():
            if self._is_unsent(name, known.get(name)):
                continue  # what is new here goes there, and is settled then
            if name not in known or known[name].version != info.version or not (self._folder / name).exists():
                wanted[name] = info
        # Another process of this machine may have sent one since the list was made.
        gone = [name for name, of in known.items() if name not in there and of.seen_at < began]
        with writing(self._folder):
            for name, content in self._bucket.read(wanted):
                if content is not None:
                    place_file(self._folder / name, content)
                    self._note(name, wanted[name].version)
            for name in gone:  # what was to be sent of it is not missed
                (self._folder / name).unlink(missing_ok=True)
        self._catalogue.forget_objects(gone)

    def send(self, path: Path) -> None:
        """Bring a document there.

        Raises:
            StoreError: it can't be brought there.
        """
        name, content = self._name(path), _content(path)
        known = self._catalogue.object(name)
        expected = known.version if known is not None else None
        for _ in range(_ATTEMPTS):
            version = (
                self._bucket.create(name, content)
                if expected is None
                else self._bucket.replace(name, content, expected)
            )
            if version is not None:
                break
            found = self._bucket.read_one(name)
            if found is not None and found[0] == content:
                version = found[1].version
                break
            expected = found[1].version if found is not None else None
        else:
            raise StoreError(f"can't write {self._bucket.shown(name)}: others replace it all the time; try again later")
        self._note(name, version)

    def replace(self, path: Path, content: bytes) -> None:
        """Replace a document there, then here, if it is still the one that is known.

        Raises:
            Conflict: it is another one.
            StoreError: it can't be written.
        """
        name = self._name(path)
        known = self._catalogue.object(name)
        version = (
            self._bucket.create(name, content) if known is None else self._bucket.replace(name, content, known.version)
        )
        if version is None:
            raise Conflict(f"{self._bucket.shown(name)} was replaced meanwhile; try again")
        with writing(self._folder):
            place_file(path, content)
        self._note(name, version)

    def remove(self, paths: Sequence[Path]) -> None:
        """Remove documents there."""
        names = [self._name(path) for path in paths]
        self._bucket.delete(names)
        self._catalogue.forget_objects(names)

    def unsent(self) -> list[Path]:
        """Return the documents, and the records of artifacts, that are here only."""
        found: list[Path] = []
        for kind in KINDS:
            known = self._catalogue.objects(kind)
            here = sorted((self._folder / kind).glob("[!.]*.json"))
            found += [path for path in here if self._is_unsent(self._name(path), known.get(self._name(path)))]
        records = sorted((self._folder / ARTIFACTS).glob(f"[!.]*/{RECORD}"))
        return found + [path for path in records if self._catalogue.object(self._name(path)) is None]

    def send_unsent(self, path: Path) -> None:
        """Bring there what `unsent` returned; of an artifact, its files as well.

        Raises:
            StoreError: it can't be brought there.
        """
        if path.name == RECORD and path.parent.parent.name == ARTIFACTS:
            self.send_artifact(self._name(path.parent))
        else:
            self.send(path)

    # --- artifacts ----------------------------------------------------------------------------------------------

    def fetch_artifact(self, name: str) -> None:
        """Bring the files of a folder here, if they are there and not here.

        Raises:
            StoreError: they can't be read, or there is no room for them here.
        """
        record = f"{name}/{RECORD}"
        if (self._folder / record).exists():
            return
        found = {each: info for each, info in self._bucket.listed(name).items() if _is_inside(each, name)}
        if record not in found:
            return
        for each in sorted(found, key=lambda each: each == record):
            self.download(each, found[each].size)
        self._note(record, found[record].version)

    def download(self, name: str, size: int) -> None:
        """Bring one object here.

        Raises:
            StoreError: it can't be read, or there is no room for it here.
        """
        target = self._folder / name
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        with writing(self._folder):
            target.parent.mkdir(parents=True, exist_ok=True)
            if size > shutil.disk_usage(target.parent).free:
                where = f"{self._bucket.shown(name)} has {size} bytes, more than there is room for in {self._folder}"
                raise StoreError(where, hint="set XDG_DATA_HOME to another folder")
            try:
                self._bucket.download(name, temporary)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)

    def send_artifact(self, name: str) -> None:
        """Bring the files of a folder there, its record last.

        Raises:
            StoreError: they can't be brought there.
        """
        there = self._bucket.listed(name)
        files = {
            self._name(path): path
            for path in (self._folder / name).rglob("*")
            if path.is_file() and not path.name.startswith(".")
        }
        missing = {
            each: path for each, path in files.items() if each not in there or there[each].size != path.stat().st_size
        }
        record = f"{name}/{RECORD}"
        self._bucket.upload({each: path for each, path in missing.items() if each != record})
        if record in missing:
            self._bucket.create(record, _content(missing[record]))
        info = self._bucket.info(record)
        self._note(record, info.version if info is not None else "")

    # --- names and files ----------------------------------------------------------------------------------------

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    def _is_unsent(self, name: str, known: KnownObject | None) -> bool:
        try:
            status = (self._folder / name).stat()
        except OSError:
            return False
        return known is None or (known.mtime_ns, known.size) != (status.st_mtime_ns, status.st_size)

    def _note(self, name: str, version: str) -> None:
        status = (self._folder / name).stat()
        self._catalogue.note_objects([(name, KnownObject(version, status.st_mtime_ns, status.st_size, time.time()))])


def place_file(target: Path, content: bytes) -> None:
    """Write a file at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    temporary.write_bytes(content)
    temporary.replace(target)


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path, within=path.parent)
    except OSError as error:
        raise StoreError(f"can't read {path}: {error.strerror}") from error


def _is_document(name: str, kind: str) -> bool:
    folder, _, file = name.rpartition("/")
    return folder == kind and file.endswith(".json") and is_id(file.removesuffix(".json"))


def _is_inside(name: str, folder: str) -> bool:
    """Whether an object may become a file of a folder here."""
    parts = name.removeprefix(f"{folder}/").split("/")
    return name.startswith(f"{folder}/") and all(is_id(part) for part in parts)
