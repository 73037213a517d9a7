"""clean: remove what was not used for long; and let go of the blobs that ended runs no longer need."""

import fcntl
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Optional

from ..home import Home, own_archive
from .journal_place import leave_place, sweep
from .tail import has_writer

_LAUNCH_S = 600.0  # a run that has no journal for so long will never have one


class _Thing:
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
        """Say whether a run, a sender or this very process needs it; nobody needs what is gone."""
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
    """Return what is known of every file below a folder; what goes away meanwhile is left out."""
    stats = []
    for place, _, names in os.walk(folder):  # passes over a folder that is gone
        for name in names:
            with suppress(FileNotFoundError):
                stats.append(Path(place, name).lstat())
    return stats


def _look(home: Home) -> List[_Thing]:
    """Return all that may be removed, what was used longest ago first; what goes away meanwhile is left out."""
    things = []
    for folder in (home.blobs, home.agents, home.runs):
        for path in folder.iterdir() if folder.is_dir() else ():
            with suppress(FileNotFoundError):
                things.append(_Thing(home, path))
    return sorted(things, key=lambda thing: thing.used_at)


def clean(home: Home, *, older_than_s: Optional[int], keep_bytes: Optional[int], dry_run: bool) -> Dict[str, Any]:
    """Remove what was last used longer than `older_than_s` ago, then the oldest until `keep_bytes` are left.

    Nothing that is in use goes. Where neither limit is given, nothing goes.

    Returns:
        `removed`: name, bytes and age in seconds of each thing; `removed_bytes`; `kept_bytes`.
    """
    sweep(home)
    _release_dead_runs(home)
    things = _look(home)
    now = time.time()
    kept = sum(thing.bytes for thing in things)
    removed: List[Dict[str, Any]] = []
    removed_bytes = 0
    for thing in things:
        age_s = max(0, int(now - thing.used_at))
        too_old = older_than_s is not None and age_s >= older_than_s
        too_much = keep_bytes is not None and kept > keep_bytes
        if not (too_old or too_much) or thing.in_use():
            continue
        if not dry_run:
            leave_place(thing.path)
            _remove(thing.path)
        kept -= thing.bytes
        removed_bytes += thing.bytes
        removed.append({"name": thing.name, "bytes": thing.bytes, "age_s": age_s})
    return {
        "removed": removed[:2048],  # a reply is bounded
        "removed_count": len(removed),
        "removed_bytes": removed_bytes,
        "kept_bytes": kept,
    }


def _release_dead_runs(home: Home) -> None:
    """Drop the links to blobs of runs that died without dropping them."""
    for run in home.runs.iterdir() if home.runs.is_dir() else ():
        if (run / "journal.ndjson").exists() and not has_writer(run / "journal.ndjson"):
            release_blobs(run)


def release_blobs(run: Path) -> None:
    """Drop a run folder's links to blobs: it doesn't need them any more."""
    for pattern in ("model*", "inputs*"):
        for path in run.glob(pattern):
            _remove(path)


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; nothing where it is gone already."""
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
