"""The board's lock: held while a run measures, and while an installation or a removal changes files.

This module imports little, because `probe` and `install` must be quick on a slow board.
"""

import fcntl
import os
from typing import Optional

from ..home import Home
from ..protocol.failure import Failure


def current_run(home: Home) -> Optional[str]:
    """Return the run that measures on this board now, or None."""
    try:
        lock = os.open(home.lock, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, so that two callers do not see each other
    except BlockingIOError:
        return os.pread(lock, 256, 0).decode("utf-8", "replace") or "another run"
    finally:
        os.close(lock)
    return None


def acquire(home: Home, lock: int, purpose: str) -> None:
    """Lock the board's lock file, open as `lock`, for `purpose`.

    Raises:
        Failure: busy.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = current_run(home) or "another run"
        raise Failure("busy", f"{holder} is in progress on this board; try again when it is done") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, purpose.encode(), 0)
