"""Steal: processor time that a hypervisor gave to other machines while this one wanted it, thousandths of a core."""

import os
import time
from pathlib import Path
from typing import Callable, Dict, Optional

from ..virtual import is_virtual, steal_ticks

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def find(root: Path, pid: int) -> Optional[Callable[[], Dict[str, Optional[int]]]]:
    """Return the reader of the mean steal of all cores since the last reading; None: it is no virtual machine."""
    found = steal_ticks(root)
    if found is None or is_virtual(root) is False:
        return None
    ticks, at_ns = found, time.monotonic_ns()

    def read() -> Dict[str, Optional[int]]:
        nonlocal ticks, at_ns
        now, now_ns = steal_ticks(root), time.monotonic_ns()
        seconds = (now_ns - at_ns) / 1e9
        if seconds < 0.1:
            return {}  # too short for the kernel's ticks of 10 ms
        if now is None:
            return {"steal_cpu_millicores": None}
        stolen = max(0, now - ticks) / _TICKS_PER_S  # some hypervisors let the counter fall
        ticks, at_ns = now, now_ns
        return {"steal_cpu_millicores": round(1000 * stolen / seconds)}

    return read
