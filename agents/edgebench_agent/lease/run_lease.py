"""A run's lease: the run ends when the lease has not been renewed in time.

Time is counted on CLOCK_BOOTTIME, which goes on while the board sleeps and which nobody can set.
"""

import os
import time
from pathlib import Path
from typing import Optional

from ..board.kernel_files import boot_id


class RunLease:
    """The file that records when the run was last renewed: `<nanoseconds since boot> <boot id>`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._boot = boot_id() or "?"
        self._renewed_ns = _now_ns()

    def renew(self) -> None:
        """Note that the host still wants this run."""
        # In place and of constant length, which works on a full disk, too.
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.ftruncate(file, os.pwrite(file, f"{_now_ns():020} {self._boot}".encode(), 0))
        finally:
            os.close(file)

    def left_ns(self, lease_ns: int) -> int:
        """Return how long the lease is still valid; below 0 when it has expired."""
        self._renewed_ns = max(self._renewed_ns, self._read() or 0)
        return self._renewed_ns + lease_ns - _now_ns()

    def _read(self) -> Optional[int]:
        try:
            renewed, _, boot = self._path.read_text().partition(" ")
            return int(renewed) if boot == self._boot else None
        except (OSError, ValueError):
            return None


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
