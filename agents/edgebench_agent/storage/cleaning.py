"""clean: remove what has not been used for long; and release the blobs that ended runs no longer need."""

import fcntl
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Optional

from ..home import Home, own_archive
from .journal_place import release_place, sweep
from .journal_tail import has_writer
from .verified import Verified

_LAUNCH_S = 600.0  # a run without a journal for so long will never have one


class _Item:
    """Something that may be removed: a blob, a part, an agent or a run, and when it was last used."""

    def __init__(self, home: Home, path: Path) -> None:
        self.path = path
        self.name = str(path.relative_to(home.root))
        own = path.lstat()
        self._is_folder = stat.S_ISDIR(own.st_mode)
        stats = _stats_below(path) if self._is_folder else [own]
        # A run's links to blobs are counted with the blobs.
        self.bytes = sum(found.st_size for found in stats if not self._is_folder or found.st_nlink == 1)
        self.used_at = max(found.st_mtime for found in [own, *stats])

    def in_use(self) -> bool:
        """Return whether a run, a sender or this very process needs it; False if it is gone."""
        if self._is_folder:
            journal = self.path / "journal.ndjson"
            return has_writer(journal) if journal.exists() else time.time() - self.used_at < _LAUNCH_S
        if self.path.suffix == ".part":
            return _is_locked(self.path)
        try:
            return self.path.lstat().st_nlink > 1 or self.path.absolute() == own_archive()
        except FileNotFoundError:
            return False


def _stats_below(folder: Path) -> List[os.stat_result]:
    """Return the status of every file below a folder; files that vanish meanwhile are left out."""
    stats = []
    for place, _, names in os.walk(folder):  # yields nothing for a folder that is gone
        for name in names:
            with suppress(FileNotFoundError):
                stats.append(Path(place, name).lstat())
    return stats


def _find_items(home: Home) -> List[_Item]:
    """Return everything that may be removed, least recently used first; what vanishes meanwhile is left out."""
    items = []
    for folder in (home.blobs, home.agents, home.runs):
        for path in folder.iterdir() if folder.is_dir() else ():
            with suppress(FileNotFoundError):
                items.append(_Item(home, path))
    return sorted(items, key=lambda item: item.used_at)


def clean(home: Home, *, older_than_s: Optional[int], keep_bytes: Optional[int], dry_run: bool) -> Dict[str, Any]:
    """Remove what was last used longer than `older_than_s` ago, then the oldest until `keep_bytes` are left.

    Nothing that is in use is removed. Without a limit, nothing is removed.

    Returns:
        `removed`: name, bytes and age in seconds of each thing; `removed_bytes`; `kept_bytes`.
    """
    sweep(home)
    _release_dead_runs(home)
    items = _find_items(home)
    now = time.time()
    kept = sum(item.bytes for item in items)
    removed: List[Dict[str, Any]] = []
    removed_bytes = 0
    for item in items:
        age_s = max(0, int(now - item.used_at))
        too_old = older_than_s is not None and age_s >= older_than_s
        too_much = keep_bytes is not None and kept > keep_bytes
        if not (too_old or too_much) or item.in_use():
            continue
        if not dry_run:
            release_place(item.path)
            _remove(item.path)
        kept -= item.bytes
        removed_bytes += item.bytes
        removed.append({"name": item.name, "bytes": item.bytes, "age_s": age_s})
    return {
        "removed": removed[:2048],  # a reply is bounded
        "removed_count": len(removed),
        "removed_bytes": removed_bytes,
        "kept_bytes": kept,
    }


def _release_dead_runs(home: Home) -> None:
    """Remove the links to blobs of runs that died without removing them."""
    for run in home.runs.iterdir() if home.runs.is_dir() else ():
        if (run / "journal.ndjson").exists() and not has_writer(run / "journal.ndjson"):
            release_blobs(home, run)


def release_blobs(home: Home, run: Path) -> None:
    """Remove a run folder's links to blobs, which an ended run does not need."""
    links = [path for pattern in ("model*", "inputs*") for path in run.glob(pattern)]
    if links:
        with Verified(home).kept():
            for path in links:
                _remove(path)


def _remove(path: Path) -> None:
    """Remove a file, or a folder with its content, if it is still there."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(path.lstat().st_mode):
            for entry in path.iterdir():
                _remove(entry)
            path.rmdir()
        else:
            path.unlink()


def _is_locked(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
