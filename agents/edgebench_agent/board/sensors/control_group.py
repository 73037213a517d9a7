"""What a control group's quota and waiting for a processor take, where the kernel counts them.

A container is often limited to a share of the processors: once its quota of a period is used up, the kernel stops all
its processes until the next one. Latencies are then those of the quota and not of the board.
"""

import time
from pathlib import Path
from typing import Callable, Dict, Optional

from ..kernel_files import read_table, read_text
from ..limits import groups

Reader = Callable[[], Dict[str, Optional[int]]]


def find_quota(root: Path, pid: Optional[int]) -> Optional[Reader]:
    """Return the reader of how long the quota stopped this group's processes, thousandths of a core; None: no quota."""
    if _stopped_us(root) is None:
        return None
    return _rate("quota_cpu_millicores", 1000, lambda: _stopped_us(root))


def find_pressure(root: Path, pid: Optional[int]) -> Optional[Reader]:
    """Return the reader of the share of time in which a process waited for a processor; None: it is not counted.

    Of this control group, else of the whole board (pressure stall information of Linux 4.20 and later).
    """
    files = [*(folder / "cpu.pressure" for folder in groups(root, "")), root / "proc/pressure/cpu"]
    found = next((path for path in files if _waited_us(path) is not None), None)
    return None if found is None else _rate("waiting_cpu_permille", 1000, lambda: _waited_us(found))


def _rate(name: str, factor: int, count_us: Callable[[], Optional[int]]) -> Reader:
    before, before_ns = count_us() or 0, time.monotonic_ns()

    def read() -> Dict[str, Optional[int]]:
        nonlocal before, before_ns
        now, now_ns = count_us(), time.monotonic_ns()
        elapsed_us = (now_ns - before_ns) / 1e3
        if elapsed_us < 1e5:
            return {}  # as the load of others
        if now is None:
            return {name: None}
        share = max(0, now - before) / elapsed_us
        before, before_ns = now, now_ns
        return {name: round(factor * share)}

    return read


def _stopped_us(root: Path) -> Optional[int]:
    """Return for how long a quota has stopped this group or one above it, over all cores, microseconds."""
    found = []
    for folder in groups(root, ""):
        found.append(_microseconds(read_table(folder / "cpu.stat", " ").get("throttled_usec")))
    for folder in groups(root, "cpu"):
        nanoseconds = _microseconds(read_table(folder / "cpu.stat", " ").get("throttled_time"))
        found.append(None if nanoseconds is None else nanoseconds // 1000)
    return max((value for value in found if value is not None), default=None)


def _waited_us(path: Path) -> Optional[int]:
    """Return the total of a line like `some avg10=0.00 avg60=0.00 avg300=0.00 total=1234`, microseconds."""
    for line in (read_text(path) or "").splitlines():
        if line.startswith("some "):
            return _microseconds(line.rpartition("total=")[2])
    return None


def _microseconds(text: Optional[str]) -> Optional[int]:
    return int(text) if text is not None and text.isdigit() and len(text) < 19 else None
