"""Whether the measuring process still gets anywhere.

It sends a message at least after each inference that takes longer than half a second. What takes long in between -
loading a large model from a slow card, one batch of long texts on a small board - uses processor time meanwhile.
"""

import time
from pathlib import Path
from typing import Optional

from ..board.sensors.load import process_seconds

#: Nothing sent and no processor time used for so long: it waits for what will never come. Reading from a card, however
#: slow, uses some.
IDLE_S = 600
#: Nothing sent for so long, however busy it is: nobody waits so long for one inference or one load.
SILENT_S = 3600

#: More than this between two looks is not silence: the board stood still, e.g. its virtual machine was paused.
_LONGEST_LOOK_NS = 2_000_000_000


class Progress:
    """What the supervisor knows of the progress of process `pid`. `look` is to be called about every second."""

    def __init__(self, pid: int) -> None:
        self._stat = Path("/proc", str(pid), "stat")
        self._used = process_seconds(self._stat)
        self._looked_ns = time.monotonic_ns()
        self._idle_ns = 0
        self._silent_ns = 0

    def heard(self) -> None:
        """Note that a message came."""
        self._idle_ns = self._silent_ns = 0

    def look(self) -> Optional[str]:
        """Return None, or what is wrong once it counts as stuck."""
        now = time.monotonic_ns()
        passed = min(now - self._looked_ns, _LONGEST_LOOK_NS)
        self._looked_ns = now
        used = process_seconds(self._stat)
        self._idle_ns = self._idle_ns + passed if used == self._used else 0
        self._silent_ns += passed
        self._used = used
        if self._idle_ns > IDLE_S * 1e9:
            return f"sent nothing and used no processor time for {IDLE_S} s; is a disk or an accelerator hung?"
        if self._silent_ns > SILENT_S * 1e9:
            return f"sent nothing for {SILENT_S} s, though it used processor time; try a smaller batch or model"
        return None
