"""Which files had the content that their hash says, and how they looked then: a file that has not changed since is not
hashed again within one boot.

    verified.json    {"boot": ..., "files": {PATH: [SHA-256, size, mtime, ctime, inode, device]}}

A lost or damaged record costs time only: everything is hashed again.
"""

import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

from ..board.kernel_files import boot_id
from ..home import Home

_CHUNK_BYTES = 1 << 20


class Verified:
    """The record of the files that were verified."""

    def __init__(self, home: Home) -> None:
        self._path = home.verified
        self._boot = boot_id()

    def is_right(self, path: Path, sha256: str, on_chunk: Callable[[], None] = lambda: None) -> bool:
        """Return whether a file has this hash; it is read unless it was verified in this boot and looks as it did then.

        `on_chunk` is called again and again while the file is read.

        Raises:
            OSError: it can't be read.
        """
        before = _looks(path, sha256)
        if before is not None and self._read().get(str(path)) == before:
            return True
        import hashlib  # not in the supervisor, whose memory it would enlarge

        digest = hashlib.sha256()
        with path.open("rb") as file:
            while True:
                chunk = file.read(_CHUNK_BYTES)
                if not chunk:
                    break
                digest.update(chunk)
                on_chunk()
        if digest.hexdigest() != sha256:
            return False
        if before is not None and before == _looks(path, sha256):  # else it changed while it was read
            self._write({**self._read(), str(path): before})
        return True

    def note(self, path: Path, sha256: str) -> None:
        """Record that a file has this content, as it was just found while it was written."""
        found = _looks(path, sha256)
        if found is not None:
            self._write({**self._read(), str(path): found})

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep files verified over what is done to them meanwhile: links are made and removed, times are set."""
        verified = {path: looks[0] for path, looks in self._read().items() if _looks(Path(path), looks[0]) == looks}
        try:
            yield
        finally:
            if verified:
                again = {path: _looks(Path(path), sha256) for path, sha256 in verified.items()}
                self._write({path: found for path, found in again.items() if found is not None})

    def _read(self) -> Dict[str, List[Any]]:
        """Return the record of this boot: the hash and the looks of each file, by its path."""
        try:
            record = json.loads(self._path.read_bytes())
            if self._boot is None or record["boot"] != self._boot:
                return {}
            return {path: list(looks) for path, looks in record["files"].items() if looks}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _write(self, files: Dict[str, List[Any]]) -> None:
        present = {path: looks for path, looks in files.items() if os.path.lexists(path)}
        part = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        try:
            part.write_text(json.dumps({"boot": self._boot, "files": present}))
            part.replace(self._path)
        except OSError:
            with suppress(OSError):
                part.unlink()


def _looks(path: Path, sha256: str) -> Optional[List[Any]]:
    """Return by what a change shows, after the hash; None: the file is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [sha256, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]
