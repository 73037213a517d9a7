"""How much processor time other programs use during a measurement, in thousandths of one core."""

import os
import time
from pathlib import Path
from typing import Callable, Dict, Optional

from ..kernel_files import read_text

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def find(root: Path, pid: Optional[int]) -> Optional[Callable[[], Dict[str, Optional[int]]]]:
    """Return the reader of the mean load since the last reading: of other programs, and of the agent's own process.

    `pid`: the worker's; None: there is none.

    Of other programs: all work but that of the worker and of the agent. The kernel counts all work in ticks and that of
    a process by the clock, so the difference of a short time may be negative; that is taken off the next readings, or
    the mean of many would be too high.
    """
    stat, own = root / "proc/stat", None if pid is None else root / "proc" / str(pid) / "stat"
    if _busy_seconds(stat) is None:
        return None
    before = _Times(stat, own)
    owed_s = 0.0

    def read() -> Dict[str, Optional[int]]:
        nonlocal before, owed_s
        now = _Times(stat, own)
        seconds = (now.at_ns - before.at_ns) / 1e9
        if seconds < 0.1:
            return {}  # too short for the kernel's ticks of 10 ms
        agent = now.agent - before.agent
        measured = _difference(now.measured, before.measured)
        busy = _difference(now.all, before.all)
        before = now
        others = None
        if measured is not None and busy is not None:
            balance = busy - measured - agent + owed_s
            others, owed_s = max(0.0, balance), min(0.0, balance)
        return {
            "others_cpu_millicores": None if others is None else round(1000 * others / seconds),
            "agent_cpu_millicores": round(1000 * agent / seconds),
        }

    return read


class _Times:
    """Processor time used so far, in seconds: by all processes, by the worker, by this process."""

    def __init__(self, stat: Path, own: Optional[Path]) -> None:
        self.at_ns = time.monotonic_ns()
        self.all = _busy_seconds(stat)
        self.measured = 0.0 if own is None else process_seconds(own)
        self.agent = _agent_seconds()


def _busy_seconds(stat: Path) -> Optional[float]:
    """Return all time except idle, waiting for the disk, and what a hypervisor took (steal), which `steal` reads."""
    words = (read_text(stat) or "").partition("\n")[0].split()
    if len(words) < 8 or words[0] != "cpu":
        return None
    user, nice, system, _, _, irq, softirq = (int(word) for word in words[1:8])
    return (user + nice + system + irq + softirq) / _TICKS_PER_S


def process_seconds(stat: Path) -> Optional[float]:
    """Return the processor time that a process has used so far, from its `stat` file; None: unknown."""
    # The command's name is in brackets and may hold anything.
    words = (read_text(stat) or "").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS_PER_S if len(words) > 12 else None


def _agent_seconds() -> float:
    return sum(os.times()[:4])  # its own, and that of the commands it ran


def _difference(now: Optional[float], before: Optional[float]) -> Optional[float]:
    return None if now is None or before is None else now - before
