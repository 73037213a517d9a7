"""The sign of life of a run's supervisor: a small file beside the journal, in memory if the journal is there.

The supervisor writes it every second, except while the worker is stopped. `follow` sends heartbeats only while it
changes, and ends a run whose supervisor is stopped or hangs: everything else that bounds a run is in that process.
"""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Optional

from ..board.kernel_files import read_text
from ..home import RunFolder
from ..protocol.failure import Failure

#: A supervisor without a sign of life for so long is no longer reported alive, and after the longer time it is ended.
QUIET_S = 5
STALLED_S = 45
#: More time between two looks does not count: the board stood still, and this process with it.
_LONGEST_INTERVAL_S = 2.0


def beat(journal: Path) -> None:
    """Give a sign of life."""
    # In place and of constant length, which works on a full disk, too.
    with suppress(OSError):
        file = os.open(_path(journal), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(file, f"{time.monotonic_ns():020}".encode(), 0)
        finally:
            os.close(file)


def end(journal: Path) -> None:
    """Remove the file."""
    with suppress(OSError):
        _path(journal).unlink()


def _path(journal: Path) -> Path:
    return Path(os.path.realpath(journal)).with_name("pulse")


class PulseWatch:
    """Watches the supervisor of a run; call `look` about once a second, or more often."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._last: Optional[str] = None
        self._looked_s = time.monotonic()
        self._watched_s = 0.0  # without a new sign of life
        self._quiet_s = 0.0

    def look(self, *, missing_counts: bool = False) -> None:
        """Look for a new sign of life. `missing_counts`: also where there is none yet.

        Raises:
            Failure: stuck: there was none for so long that the supervisor is ended, and its worker with it.
        """
        now = time.monotonic()
        passed, self._looked_s = min(now - self._looked_s, _LONGEST_INTERVAL_S), now
        found = read_text(_path(self._run.journal), 64)
        self._watched_s = self._watched_s + passed if found == self._last else 0.0
        self._last = found
        if found is not None and found.isdigit():
            self._quiet_s = now - int(found) / 1e9  # also what passed before another follower took over
        else:  # older agents give none, nor does one whose disk has no room for it
            self._quiet_s = self._watched_s if missing_counts else 0.0
        # After a pause of the board, the supervisor has the time to give one first.
        if self._quiet_s > STALLED_S and self._watched_s > QUIET_S:
            self._kill()
            raise Failure(
                "stuck",
                f"the supervisor of run {self._run.path.name} gave no sign of life for {STALLED_S} s and was ended: it "
                f"was stopped, or the board's disk hangs; what it had written is kept",
            )

    def is_beating(self) -> bool:
        """Return whether there was a sign of life lately."""
        return self._quiet_s < QUIET_S

    def _kill(self) -> None:
        with suppress(OSError, ValueError):
            pid = int(self._run.pid.read_text())
            words = (read_text(Path("/proc", str(pid), "cmdline"), 1 << 14) or "").split("\0")
            if "supervise" in words and self._run.path.name in words:
                os.kill(pid, signal.SIGKILL)
