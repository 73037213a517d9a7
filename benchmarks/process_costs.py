"""What a command costs: wall time, CPU time and peak memory of it and all that it starts."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

_POLL_S = 0.05
_LOG_TAIL = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """`peak_rss_bytes`: the largest sum over the processes that ran at one moment, seen every 50 ms."""

    wall_s: float
    cpu_s: float
    peak_rss_bytes: int

    def __add__(self, other: Cost) -> Cost:
        """Return the cost of two commands, one after the other."""
        return Cost(
            wall_s=self.wall_s + other.wall_s,
            cpu_s=self.cpu_s + other.cpu_s,
            peak_rss_bytes=max(self.peak_rss_bytes, other.peak_rss_bytes),
        )

    def __str__(self) -> str:
        return f"{self.wall_s:.1f} s, {self.cpu_s:.1f} s of CPU, {self.peak_rss_bytes / 1e6:.0f} MB"


def cost_of(command: Sequence[str], *, environment: Mapping[str, str] = {}) -> Cost:
    """Run a command to its end and return what it cost.

    Raises:
        SystemExit: it failed; with the end of its log.
    """
    import psutil

    with tempfile.TemporaryFile() as log:
        start, peak = time.perf_counter(), 0
        child = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})
        watched = psutil.Process(child.pid)
        while True:
            ended, status, usage = os.wait4(child.pid, os.WNOHANG)  # the usage has that of its children that ended
            if ended:
                break
            peak = max(peak, _rss_bytes(watched))
            time.sleep(_POLL_S)
        wall_s = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)  # wait4 took it from Popen
        if child.returncode:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL))
            raise SystemExit(
                f"{' '.join(command)} ended with {child.returncode}:\n{log.read().decode(errors='replace')}"
            )
    return Cost(wall_s=wall_s, cpu_s=usage.ru_utime + usage.ru_stime, peak_rss_bytes=peak)


def _rss_bytes(process: psutil.Process) -> int:  # type: ignore[name-defined]  # noqa: F821 - imported late
    import psutil

    total = 0
    with suppress(psutil.Error):
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                total += each.memory_info().rss
    return total
