"""Cache: artifacts by what they were made from, and the hashes of files that were read before.

<cache>/artifacts/<key>/   the files and artifact.json; made in a temporary folder and renamed: whole or not there
<cache>/skeletons/<key>.onnx
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

from edgebench.artifact import Artifact, hash_file
from edgebench.errors import ExportError, StoreError

RECORD = "artifact.json"
_TEMPORARY = ".making-"
_ABANDONED_S = 24 * 3600  # no export takes a day


def cache_folder() -> Path:
    """Return $EDGEBENCH_CACHE, else ~/.cache/edgebench (under $XDG_CACHE_HOME where that is set)."""
    if chosen := os.environ.get("EDGEBENCH_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgebench"


def key_of(values: Mapping[str, Any]) -> str:
    """Return a name for these plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]


@contextmanager
def writing(what: Path) -> Iterator[None]:
    """Turn OSError (a full disk, a folder that can't be written) into ExportError."""
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"can't write {what}: {error.strerror or error}; free some space or set EDGEBENCH_CACHE"
        ) from error


def find_artifact(cache: Path, key: str) -> tuple[Artifact, dict[str, Any]] | None:
    """Return the artifact kept under this key with its record; None where there is none or a file is not whole."""
    folder = cache / "artifacts" / key
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        artifact = Artifact.from_json(record, path=folder)
        whole = all((folder / file.name).stat().st_size == file.bytes for file in artifact.files)
    except (OSError, ValueError, StoreError):
        return None
    return (artifact, record) if whole else None


@contextmanager
def temporary_folder(cache: Path) -> Iterator[Path]:
    """A folder to make an artifact in; gone afterwards unless it was kept."""
    root = cache / "artifacts"
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(root)
        folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep_artifact(cache: Path, key: str, folder: Path, record: Mapping[str, Any]) -> None:
    """Move a finished temporary folder to its place. Who comes second leaves the first one's."""
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


def tell_artifact(cache: Path, key: str, record: Mapping[str, Any]) -> None:
    """Replace what is recorded of a kept artifact."""
    write_whole(cache / "artifacts" / key / RECORD, json.dumps(record, indent=2).encode())


def drop_artifact(cache: Path, key: str) -> None:
    """Keep an artifact no longer."""
    shutil.rmtree(cache / "artifacts" / key, ignore_errors=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file so that nobody ever sees a part of it."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def remembered_hash(cache: Path, path: Path, *, on_progress: Callable[[str], None]) -> str:
    """Return a file's SHA-256; the file is read only if its path, size, time or inode are new.

    Raises:
        StoreError: it can't be read.
    """
    path = path.resolve()
    note = cache / "hashes" / f"{key_of({'path': str(path)})}.json"
    facts = None
    try:
        facts = _facts(path)
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["facts"] == facts:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    on_progress(f"hashing {path.name}")
    digest = hash_file(path)
    write_whole(note, json.dumps({"facts": facts, "sha256": digest}).encode())  # of before: a change meanwhile shows
    return digest


def _facts(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _remove_abandoned(root: Path) -> None:
    """Remove what an export left that was killed."""
    for folder in root.glob(f"{_TEMPORARY}*"):
        try:
            old = time.time() - folder.stat().st_mtime > _ABANDONED_S
        except OSError:
            continue  # its maker has just finished with it
        if old:
            shutil.rmtree(folder, ignore_errors=True)


def copy_artifact(artifact: Artifact, folder: Path, *, told: Mapping[str, Any]) -> Artifact:
    """Return the artifact's copy in another folder, with its artifact.json, which also says what is `told`; each file
    is whole or not there."""
    copy = replace(artifact, path=folder.resolve())
    if copy.path == artifact.path.resolve():
        return artifact
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for file in artifact.files:
            temporary = folder / f"{file.name}.part"
            try:
                shutil.copyfile(artifact.path / file.name, temporary)
                temporary.replace(folder / file.name)
            finally:
                temporary.unlink(missing_ok=True)
    write_whole(folder / RECORD, json.dumps(copy.to_json() | dict(told), indent=2).encode())
    return copy
