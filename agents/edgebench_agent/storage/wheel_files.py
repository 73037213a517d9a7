"""Unpacking wheels: zip files whose RECORD has the hash of every file (PEP 427)."""

import base64
import csv
import hashlib
import io
import stat
import zipfile
import zlib
from pathlib import Path
from typing import IO, Dict, List, Optional, Tuple

from ..protocol.failure import Failure

_CHUNK_BYTES = 1 << 20
_MAX_FILES = 100_000
_MAX_RECORD_BYTES = 16 << 20
#: RECORD itself and its signatures have no hash.
_UNHASHED = ("RECORD", "RECORD.jws", "RECORD.p7s")


def unpack_wheel(wheel: Path, name: str, packages: Path) -> None:
    """Unpack a wheel into the folder `packages`, where Python looks for modules; `name` is for messages.

    It gets everything that importing needs. Scripts, headers and data are left out, because no board uses them.

    Raises:
        Failure: corrupt: no zip, a path that leads elsewhere, or a file that is not what RECORD says.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            entries = archive.infolist()
            if len(entries) > _MAX_FILES:
                raise Failure("corrupt", f"{name} has {len(entries)} files (at most {_MAX_FILES})")
            record = _read_record(archive, entries, name)
            for entry in entries:
                place = _place(entry.filename, name)
                if place is not None and not entry.is_dir():
                    _unpack(archive, entry, packages / place, _expected(record, entry.filename, name), name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise Failure("corrupt", f"{name} is not a wheel that can be unpacked: {error}") from error


def unpacked_bytes(wheel: Path) -> int:
    """Return the unpacked size of a wheel in bytes, as its directory states it."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError):
        return 0  # unpacking reports what is wrong with it


def _place(path: str, name: str) -> Optional[str]:
    """Return where a file of a wheel goes, below the packages; None where it is left out."""
    parts = path.rstrip("/").split("/")
    if path.startswith("/") or "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise Failure("corrupt", f"{name} holds the path {path!r}, which leads out of it")
    if not parts[0].endswith(".data"):
        return "/".join(parts)
    # NAME-VERSION.data/KIND/...: what belongs elsewhere than the rest of the wheel.
    return "/".join(parts[2:]) if len(parts) > 2 and parts[1] in ("purelib", "platlib") else None


def _read_record(archive: zipfile.ZipFile, entries: List[zipfile.ZipInfo], name: str) -> Dict[str, Tuple[str, str]]:
    """Return (hash, size) of each path, as RECORD writes them."""
    found = [entry for entry in entries if entry.filename.count("/") == 1 and _is_record(entry.filename)]
    records = [entry for entry in found if entry.filename.endswith("/RECORD")]
    if len(records) != 1 or records[0].file_size > _MAX_RECORD_BYTES:
        raise Failure("corrupt", f"{name} has no RECORD of its files: it is not a wheel")
    rows = csv.reader(io.StringIO(archive.read(records[0]).decode("utf-8")))
    return {row[0]: (row[1], row[2]) for row in rows if len(row) == 3}


def _is_record(path: str) -> bool:
    folder, _, file = path.partition("/")
    return folder.endswith(".dist-info") and file in _UNHASHED


def _expected(record: Dict[str, Tuple[str, str]], path: str, name: str) -> Optional[str]:
    """Return a file's hash as RECORD writes it; None for RECORD itself."""
    if _is_record(path):
        return None
    expected = record.get(path, ("", ""))[0]
    if not expected.startswith("sha256="):
        raise Failure("corrupt", f"{name} holds {path!r}, for which its RECORD has no SHA-256")
    return expected


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, expected: Optional[str], name: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, target.open("wb") as file:  # as pip: two may share one
        found = _copy(source, file)
    if expected is not None and found != expected:
        raise Failure("corrupt", f"{entry.filename!r} of {name} is not what its RECORD says; push it again")
    if (entry.external_attr >> 16) & stat.S_IXUSR:
        target.chmod(0o755)


def _copy(source: IO[bytes], file: IO[bytes]) -> str:
    """Copy everything; return the hash in RECORD's form."""
    digest = hashlib.sha256()
    while True:
        chunk = source.read(_CHUNK_BYTES)
        if not chunk:
            return "sha256=" + base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
        digest.update(chunk)
        file.write(chunk)
