"""Standstill: ends a child process that does nothing any more.

A native library that fails to get memory can leave its threads waiting for each other for ever. Such a process uses no
processor and no disk; one that works, however slowly, uses one of them.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import psutil

#: A child that used neither processor nor disk for so long is ended. What an export waits for takes less: pip gives up
#: a connection after some 100 s.
STANDSTILL_S = 300.0
_LOOK_EVERY_S = 5.0
#: What a process that waits uses all the same, e.g. by a thread that wakes up now and then: 0.5 % of a core.
_IDLE_SHARE = 0.005


class Watch:
    """Whether the child was ended because it stood still."""

    def __init__(self) -> None:
        self.stood_still = False


@contextlib.contextmanager
def ended_at_standstill(child: subprocess.Popen[bytes], *, after_s: float | None = None) -> Iterator[Watch]:
    """Kill the child if it stands still for `after_s` seconds (`STANDSTILL_S`) while the context is open."""
    watch, closed = Watch(), threading.Event()
    limit_s = STANDSTILL_S if after_s is None else after_s
    watcher = threading.Thread(target=_look, args=(child, watch, closed, limit_s), daemon=True)
    watcher.start()
    try:
        yield watch
    finally:
        closed.set()
        watcher.join()


def _look(child: subprocess.Popen[bytes], watch: Watch, closed: threading.Event, after_s: float) -> None:
    import psutil

    every_s = min(_LOOK_EVERY_S, after_s / 4)
    try:
        process = psutil.Process(child.pid)
        since, used = time.monotonic(), _used(process)
        while not closed.wait(every_s):
            now, use = time.monotonic(), _used(process)
            suspended = process.status() == psutil.STATUS_STOPPED  # by the user, who will let it go on
            if suspended or use.moved != used.moved or abs(use.cpu_s - used.cpu_s) > _IDLE_SHARE * max(now - since, 1):
                since, used = now, use
            elif now - since >= after_s:
                watch.stood_still = True
                process.kill()
                return
    except psutil.Error:
        return  # it has ended, or this system does not tell


class _Use(NamedTuple):
    cpu_s: float
    moved: tuple[int, ...]  # bytes read and written


def _used(process: psutil.Process) -> _Use:
    """Return what the process and its descendants used so far."""
    import psutil

    cpu_s, moved = 0.0, [0, 0]
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            cpu_s += times.user + times.system + times.children_user + times.children_system
            with contextlib.suppress(AttributeError, psutil.AccessDenied):  # macOS; a restricted /proc
                counters = each.io_counters()
                moved = [moved[0] + counters.read_bytes, moved[1] + counters.write_bytes]
    return _Use(cpu_s, tuple(moved))
