"""Bucket: objects below a prefix, through fsspec, written under conditions where the service has them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebench.errors import MissingExtra, StoreError
from edgebench.reading import MOST_DOCUMENT_BYTES
from edgebench.store.location import SCHEMES, Address
from edgebench.store.remote.failures import codes_of, failure, has_no_conditions, is_not_met, translated

#: Objects that are read or written at a time.
_AT_A_TIME = 32
_READ_AT_ONCE_BYTES = 256 << 20
_CONNECT_S, _READ_S = 5, 30
_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """Size and version of an object; two contents under one name have two versions."""

    size: int
    version: str


class Bucket:
    """The objects below an address. Names are relative to it. Constructing it touches nothing."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._opened: Any = None
        self._root = ""

    def listed(self, folder: str) -> dict[str, ObjectInfo]:
        """Return the objects below a folder, by name, the prefix included."""
        with translated(self.address, "read"):
            found = self._fs.find(f"{self._root}/{folder}".rstrip("/"), detail=True)
        return {
            name[len(self._root) + 1 :]: _info(info)
            for name, info in found.items()
            if name.startswith(f"{self._root}/") and info.get("type", "file") == "file"
        }

    def top_names(self) -> list[str]:
        """Return the names right below the address, of objects and of folders."""
        with translated(self.address, "read"):
            try:
                found = self._fs.ls(self._root, detail=False)
            except FileNotFoundError as error:
                if self._root == self.address.bucket or not self._has_bucket():
                    raise failure(self.address, "read", FileNotFoundError("no such bucket")) from error
                return []
        return [str(name).rstrip("/").rpartition("/")[2] for name in found if str(name).rstrip("/") != self._root]

    def read(
        self, names: Mapping[str, ObjectInfo], *, most: int = MOST_DOCUMENT_BYTES
    ) -> Iterator[tuple[str, bytes | None]]:
        """Yield the objects' contents; None where one is gone by now.

        Raises:
            StoreError: one is larger than `most`, is not as large as the list says, or can't be read.
        """
        for name, info in names.items():
            if not 0 <= info.size <= most:
                raise StoreError(
                    f"{self.shown(name)} is not read: it has {info.size} bytes, at most {most} are allowed"
                )
        for some in _batches(names):
            with translated(self.address, "read"):
                # One byte more than the list says, to see one that is larger. `cat` asks first whether each is there.
                filled = [name for name in some if names[name].size]  # a range of nothing is refused
                found = self._fs.cat_ranges(
                    [self._path(name) for name in filled],
                    [0] * len(filled),
                    [names[name].size + 1 for name in filled],
                    on_error="return",
                    batch_size=_AT_A_TIME,
                )
            contents = dict(zip(filled, found, strict=True))
            for name in some:
                content = contents.get(name, b"")
                if isinstance(content, FileNotFoundError) or content is None:
                    yield name, None
                    continue
                if isinstance(content, Exception):
                    raise failure(self.address, "read", content) from content
                if len(content) != names[name].size:
                    yield (
                        name,
                        None if self.info(name) != names[name] else self._refuse_size(name, names[name], content),
                    )
                    continue
                yield name, content

    def _refuse_size(self, name: str, info: ObjectInfo, content: bytes) -> bytes:
        raise StoreError(f"{self.shown(name)} is not read: it has {len(content)} bytes, and the list says {info.size}")

    def read_one(self, name: str, *, most: int = MOST_DOCUMENT_BYTES) -> tuple[bytes, ObjectInfo] | None:
        """Return an object's content; None: there is none."""
        for _ in range(3):
            info = self.info(name)
            if info is None:
                return None
            ((_, content),) = self.read({name: info}, most=most)
            if content is not None:
                return content, info
        return None

    def info(self, name: str) -> ObjectInfo | None:
        """Return an object's size and version; None: there is none."""
        with translated(self.address, "read"):
            try:
                found = self._fs.info(self._path(name))
            except FileNotFoundError as error:
                if "bucket" in str(error).lower() or not self._has_bucket():
                    raise failure(self.address, "read", FileNotFoundError("no such bucket")) from error
                return None
            except OSError:
                self._has_bucket()  # an answer without a body has no reason; this one has
                raise
        return _info(found) if found.get("type") == "file" else None

    def download(self, name: str, target: Path) -> None:
        """Write an object to a file here, without holding all of it in memory."""
        with translated(self.address, "read"):
            self._fs.get_file(self._path(name), str(target))

    def create(self, name: str, content: bytes) -> str | None:
        """Write an object that is not there yet, and return its version; None where there is one."""
        with translated(self.address, "write"):
            try:
                return self._version(name, self._fs.pipe_file(self._path(name), content, mode="create"))
            except Exception as error:
                if is_not_met(error):
                    return None
                if not has_no_conditions(error):
                    raise
            # A service without conditions: what another writer does between these two lines is not seen.
            if self.info(name) is not None:
                return None
            return self._version(name, self._fs.pipe_file(self._path(name), content))

    def replace(self, name: str, content: bytes, version: str) -> str | None:
        """Write an object in place of that version, and return the new one; None where that is there no more."""
        with translated(self.address, "write"):
            if self.address.scheme == "s3":
                try:
                    return self._version(name, self._fs.pipe_file(self._path(name), content, IfMatch=version))
                except Exception as error:
                    if is_not_met(error) or codes_of(error)[:1] == ["NoSuchKey"]:
                        return None
                    if not has_no_conditions(error):
                        raise
            # For other services fsspec has no such condition: what happens between these two lines is not seen.
            now = self.info(name)
            if now is None or now.version != version:
                return None
            return self._version(name, self._fs.pipe_file(self._path(name), content))

    def _version(self, name: str, answer: Any) -> str:
        if isinstance(answer, dict) and answer.get("ETag"):
            return str(answer["ETag"])
        found = self.info(name)
        return found.version if found is not None else ""

    def upload(self, files: Mapping[str, Path]) -> None:
        """Write files to objects, whatever is there."""
        with translated(self.address, "write"):
            for name, path in files.items():
                self._fs.put_file(str(path), self._path(name))

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects; those that are gone already are no error."""
        for at in range(0, len(names), 1000):
            paths = [self._path(name) for name in names[at : at + 1000]]
            with translated(self.address, "write"):
                if self.address.scheme == "s3":
                    from fsspec.asyn import sync

                    # `rm` asks first whether each is there; its part for many at once has no name of its own.
                    sync(self._fs.loop, self._fs._bulk_delete, paths)
                    continue
                for path in paths:
                    try:
                        self._fs.rm_file(path)
                    except FileNotFoundError:
                        continue

    def shown(self, name: str) -> str:
        """Return an object's whole address."""
        return f"{self.address}/{name}"

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _has_bucket(self) -> bool:
        if self.address.scheme != "s3":
            return True
        try:
            self._fs.call_s3("list_objects_v2", Bucket=self.address.bucket, MaxKeys=1)
        except FileNotFoundError:
            return False
        return True

    @property
    def _fs(self) -> Any:
        if self._opened is None:
            self._opened = _open(self.address)
            self._root = str(self._opened._strip_protocol(str(self.address))).rstrip("/")
        return self._opened


def _open(address: Address) -> Any:
    package = SCHEMES[address.scheme]
    try:
        importlib.import_module(package)
        import fsspec
    except ImportError as error:
        if package in ("s3fs", "fsspec"):
            raise MissingExtra(package, "bucket", f"a store at {address.scheme}://") from error
        raise StoreError(
            f"a store at {address.scheme}:// needs {package}, which is not installed",
            hint=f"try: pip install {package}",
        ) from error
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if address.scheme == "s3":
        options["config_kwargs"] = {
            "connect_timeout": _CONNECT_S,
            "read_timeout": _READ_S,
            "retries": {"max_attempts": _ATTEMPTS},
            "max_pool_connections": _AT_A_TIME,
        }
    elif address.scheme == "memory":
        options = {}
    with translated(address, "reach"):
        opened = fsspec.filesystem(address.scheme, **options)
        if address.scheme == "s3":
            opened.retries = _ATTEMPTS
    return opened


def _info(found: Mapping[str, Any]) -> ObjectInfo:
    for key in ("ETag", "etag", "md5Hash", "content_md5", "created", "mtime", "last_modified"):
        if found.get(key):
            return ObjectInfo(int(found["size"]), str(found[key]))
    return ObjectInfo(int(found["size"]), "")


def _batches(names: Mapping[str, ObjectInfo]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for name, info in names.items():
        if batch and size + info.size > _READ_AT_ONCE_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(name)
        size += info.size
    if batch:
        yield batch
