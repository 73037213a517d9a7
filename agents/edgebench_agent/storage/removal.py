"""remove: take everything of edgebench off the board, the agent itself included."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Optional

from ..home import Home, board_root, not_permitted
from ..lease.lock import take
from ..lease.power import Power
from ..protocol.failure import Failure
from .journal_place import leave_place


def remove_all(home: Home) -> Dict[str, Any]:
    """Remove all that edgebench has put under its home, and the home where nothing else is in it.

    Returns:
        `removed`: number of things and bytes by kind; `left`: names of what is not edgebench's, which stays; where the
        board's clocks could not be put back, `note`: why.

    Raises:
        Failure: busy: a run measures; not_permitted: something belongs to another user.
    """
    if not home.root.is_dir():
        return {"removed": {}, "left": []}
    try:
        lock = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            take(home, lock, "the removal")
            note = _put_power_back(home)
            for run in home.runs.iterdir() if home.runs.is_dir() else ():
                leave_place(run)
            removed = {}
            for folder in home.folders():
                if folder.is_dir():
                    removed[folder.name] = _size(folder)
                    shutil.rmtree(folder)
            for file in home.files():
                with suppress(FileNotFoundError):
                    file.unlink()
        finally:
            os.close(lock)
        return {"removed": removed, "left": _leave(home.root), **({} if note is None else {"note": note})}
    except PermissionError as error:
        raise not_permitted(home, error) from error


def _put_power_back(home: Home) -> Optional[str]:
    """Put back clocks and power mode; return why nobody can any more, None where it was done."""
    try:
        Power(home, board_root()).restore()
    except Failure as failure:
        if failure.kind != "corrupt":
            raise
        return str(failure)
    return None


def _size(folder: Path) -> Dict[str, int]:
    """Return how many things a folder holds, and their bytes; a file with several names counts once."""
    seen = {}
    for place, _, names in os.walk(str(folder)):
        for name in names:
            found = Path(place, name).lstat()
            seen[(found.st_dev, found.st_ino)] = found.st_size
    return {"count": len(list(folder.iterdir())), "bytes": sum(seen.values())}


def _leave(root: Path) -> List[str]:
    """Remove the empty home; return the names of what keeps it from being empty."""
    left = sorted(path.name for path in root.iterdir())
    if not left and not root.is_symlink():
        root.rmdir()
    return left[:100]
