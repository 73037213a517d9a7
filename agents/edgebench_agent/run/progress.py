"""Whether the worker still makes progress.

The worker sends a message at least every half second, or after each inference that takes longer. Between messages, a
long operation - loading a large model from a slow card, one batch of long texts on a small board - uses processor time.
"""

import time
from pathlib import Path
from typing import Optional

from ..board.sensors.load import process_seconds

#: No message and no processor time for so long: the worker waits for something that will never come. Reading from a
#: card, however slow, uses some processor time.
IDLE_S = 600
#: No message for so long, even if it is busy: no useful inference or load takes this time.
SILENT_S = 3600

#: More time between two checks does not count as silence: the board stood still, e.g. as a paused virtual machine.
_LONGEST_INTERVAL_NS = 2_000_000_000


class Progress:
    """The progress of process `pid`, as its supervisor sees it. Call `check` about once a second."""

    def __init__(self, pid: int) -> None:
        self._stat = Path("/proc", str(pid), "stat")
        self._used = process_seconds(self._stat)
        self._checked_ns = time.monotonic_ns()
        self._idle_ns = 0
        self._silent_ns = 0

    def note_message(self) -> None:
        """Note that a message arrived."""
        self._idle_ns = self._silent_ns = 0

    def check(self) -> Optional[str]:
        """Return None, or what is wrong once the process counts as stuck."""
        now = time.monotonic_ns()
        passed = min(now - self._checked_ns, _LONGEST_INTERVAL_NS)
        self._checked_ns = now
        used = process_seconds(self._stat)
        self._idle_ns = self._idle_ns + passed if used == self._used else 0
        self._silent_ns += passed
        self._used = used
        if self._idle_ns > IDLE_S * 1e9:
            return f"sent nothing and used no processor time for {IDLE_S} s; is a disk or an accelerator hung?"
        if self._silent_ns > SILENT_S * 1e9:
            return f"sent nothing for {SILENT_S} s, though it used processor time; try a smaller batch or model"
        return None
