"""remove: delete everything of edgebench from the board, including the agent itself."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Optional

from ..home import Home, board_root, not_permitted
from ..lease.lock import acquire
from ..lease.power import Power
from ..protocol.failure import Failure
from .journal_place import release_place


def remove_all(home: Home) -> Dict[str, Any]:
    """Remove everything that edgebench has put below its home, and the home if nothing else is in it.

    Returns:
        `removed`: number of items and bytes by kind; `left`: names of what is not edgebench's, which stays; `note`: why
        the board's clocks could not be restored, if so.

    Raises:
        Failure: busy: a run measures; not_permitted: something belongs to another user.
    """
    if not home.root.is_dir():
        return {"removed": {}, "left": []}
    try:
        lock = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            acquire(home, lock, "the removal")
            note = _restore_power(home)
            for run in home.runs.iterdir() if home.runs.is_dir() else ():
                release_place(run)
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
        return {"removed": removed, "left": _remove_empty(home.root), **({} if note is None else {"note": note})}
    except PermissionError as error:
        raise not_permitted(home, error) from error


def _restore_power(home: Home) -> Optional[str]:
    """Restore clocks and power mode; return why that is no longer possible, or None."""
    try:
        Power(home, board_root()).restore()
    except Failure as failure:
        if failure.kind != "corrupt":
            raise
        return str(failure)
    return None


def _size(folder: Path) -> Dict[str, int]:
    """Return the number of items in a folder, and their bytes; a file with several names counts once."""
    seen = {}
    for place, _, names in os.walk(str(folder)):
        for name in names:
            found = Path(place, name).lstat()
            seen[(found.st_dev, found.st_ino)] = found.st_size
    return {"count": len(list(folder.iterdir())), "bytes": sum(seen.values())}


def _remove_empty(root: Path) -> List[str]:
    """Remove the home if it is empty; return the names of what it still holds."""
    left = sorted(path.name for path in root.iterdir())
    if not left and not root.is_symlink():
        root.rmdir()
    return left[:100]
