"""Cache of artifacts, keyed by their inputs, and of file hashes.

<cache>/artifacts/<key>/   the files and artifact.json; made in a temporary folder and renamed, so never incomplete
<cache>/skeletons/<key>.onnx
<cache>/merged/<key>/      adapters with their bases, see adapters.py
<cache>/hashes/<key>.json
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgebench.artifact import Artifact, ArtifactFile, hash_file
from edgebench.errors import ExportError, StoreError

RECORD = "artifact.json"
TEMPORARY = ".making-"  # prefix of what is not finished
_ABANDONED_S = 24 * 3600  # longer than any export takes


def cache_folder() -> Path:
    """Return $EDGEBENCH_CACHE, else ~/.cache/edgebench (under $XDG_CACHE_HOME where that is set)."""
    if chosen := os.environ.get("EDGEBENCH_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgebench"


def key_of(values: Mapping[str, Any]) -> str:
    """Return a hash of JSON values that serves as a cache key."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Translate OSError (a full disk, a read-only folder) into ExportError."""
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"can't write {target}: {error.strerror or error}; free some space or set EDGEBENCH_CACHE"
        ) from error


def find_artifact(
    cache: Path, key: str, *, on_progress: Callable[[str], None] = lambda _: None
) -> tuple[Artifact, dict[str, Any]] | None:
    """Return the artifact cached under this key and its record; None if it is missing or a file has changed.

    A file is read on its first use, and again whenever its size, times or inode have changed.
    """
    folder = cache / "artifacts" / key
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        artifact = Artifact.from_json(record, path=folder)
        changed = [file.name for file in artifact.files if not _is_intact(cache, folder, file)]
    except (OSError, ValueError, StoreError):
        return None
    if changed:
        on_progress(f"{folder / changed[0]} is not the file that was made: it is made again")
        return None
    return artifact, record


def _is_intact(cache: Path, folder: Path, file: ArtifactFile) -> bool:
    path = folder / file.name
    return path.stat().st_size == file.bytes and has_hash(cache, path, file.sha256)


def has_hash(cache: Path, path: Path, sha256: str) -> bool:
    """Return whether a file in the cache has this hash; it is read as `remembered_hash` says.

    Raises:
        StoreError: it can't be read.
    """
    try:
        digest = remembered_hash(cache, path, on_progress=lambda _: None)
    except ExportError:  # the cache is read-only
        digest = hash_file(path)
    return digest == sha256


@contextmanager
def temporary_folder(cache: Path) -> Iterator[Path]:
    """Provide a folder to make an artifact in. It is removed afterwards, unless `keep_artifact` moved it."""
    root = cache / "artifacts"
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(root)
        folder = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep_artifact(cache: Path, key: str, folder: Path, record: Mapping[str, Any]) -> None:
    """Move a finished temporary folder into the cache. An intact artifact that is already there stays."""
    target = cache / "artifacts" / key
    with writing(target):
        (folder / RECORD).write_text(json.dumps(record, indent=2), encoding="utf-8")
        if target.exists() and find_artifact(cache, key) is None:
            target.rename(folder.with_name(folder.name + ".broken"))
            shutil.rmtree(folder.with_name(folder.name + ".broken"), ignore_errors=True)
        try:
            folder.rename(target)
        except OSError:
            if find_artifact(cache, key) is None:
                raise


def update_record(cache: Path, key: str, record: Mapping[str, Any]) -> None:
    """Replace the record of a cached artifact."""
    write_atomically(cache / "artifacts" / key / RECORD, json.dumps(record, indent=2).encode())


def drop_artifact(cache: Path, key: str) -> None:
    """Remove an artifact from the cache."""
    shutil.rmtree(cache / "artifacts" / key, ignore_errors=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a small file by rename, so that no reader sees a partial file."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def remembered_hash(cache: Path, path: Path, *, on_progress: Callable[[str], None]) -> str:
    """Return a file's SHA-256. The file is read only if its path, size, times or inode have changed.

    Raises:
        StoreError: it can't be read.
    """
    path = path.resolve()
    entry = cache / "hashes" / f"{key_of({'path': str(path)})}.json"
    facts = None
    try:
        facts = _facts(path)
        known = json.loads(entry.read_text(encoding="utf-8"))
        if known["facts"] == facts:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    on_progress(f"hashing {path.name}")
    digest = hash_file(path)
    write_atomically(
        entry, json.dumps({"facts": facts, "sha256": digest}).encode()
    )  # facts from before hashing: a later change is noticed
    return digest


def _facts(path: Path) -> list[int]:
    status = path.stat()
    # The time of change can't be set back, as that of modification can.
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _remove_abandoned(root: Path) -> None:
    """Remove temporary folders of exports that were killed."""
    for folder in root.glob(f"{TEMPORARY}*"):
        try:
            is_abandoned = time.time() - folder.stat().st_mtime > _ABANDONED_S
        except OSError:
            continue  # another process has just renamed or removed it
        if is_abandoned:
            shutil.rmtree(folder, ignore_errors=True)


def copy_artifact(artifact: Artifact, folder: Path, *, extra: Mapping[str, Any]) -> Artifact:
    """Copy an artifact's files to another folder and write artifact.json there; return the copy.

    Each file is copied by rename, so no reader sees a partial file.

    Args:
        extra: further entries of artifact.json.
    """
    copy = replace(artifact, path=folder.resolve())
    if copy.path == artifact.path.resolve():
        return artifact
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for file in artifact.files:
            temporary = folder / f"{file.name}.part"
            temporary.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(artifact.path / file.name, temporary)
                temporary.replace(folder / file.name)
            finally:
                temporary.unlink(missing_ok=True)
    write_atomically(folder / RECORD, json.dumps(copy.to_json() | dict(extra), indent=2).encode())
    return copy
