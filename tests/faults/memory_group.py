"""A control group whose memory runs out: of version 1 or 2, where this process may make one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_UNLIMITED = {"memory.max": "max", "memory.limit_in_bytes": "-1"}
_STEP = 8 << 20
#: Takes memory until something in the group was killed, or much more than is left.
_HOG = """
import os, sys
with open(sys.argv[1], "w") as file:
    file.write(str(os.getpid()))


def kills():
    with open(sys.argv[2]) as file:
        return next((line for line in file if line.startswith("oom_kill ")), "")


sys.stdin.readline()
before, taken = kills(), []
while kills() == before and len(taken) < 4096:
    taken.append(bytearray(b"x" * (1 << 20)))
"""


class MemoryGroup:
    """A group in which processes are put when they start, so that their memory is counted; `procs`: its file for that.

    Raises:
        OSError: it can't be made.
    """

    def __init__(self, name: str) -> None:
        parent = _parent()
        self._hog: subprocess.Popen[bytes] | None = None
        self._folder = parent / name
        self._folder.mkdir()
        self._limit = self._folder / ("memory.max" if _is_version_2(parent) else "memory.limit_in_bytes")
        if not self._limit.exists():
            self._folder.rmdir()
            raise FileNotFoundError(f"{parent} has no memory controller")
        self._is_version_2 = self._limit.name == "memory.max"
        self._events = self._folder / ("memory.events" if self._is_version_2 else "memory.oom_control")
        self.procs = self._folder / "cgroup.procs"

    def prepare(self) -> None:
        """Start what takes the memory, which waits for `run_out`: a run is short."""
        self._hog = subprocess.Popen(
            [sys.executable, "-c", _HOG, self.procs, self._events], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def run_out(self, first: Sequence[int]) -> int:
        """Let its memory run out, until the kernel has killed something in it; return how many were killed.

        `first`: the processes that the kernel is to choose before all others.
        """
        assert self._hog is not None, "prepare it first"
        for pid in first:
            with suppress(OSError):
                Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
        usage = self._folder / ("memory.current" if self._is_version_2 else "memory.usage_in_bytes")
        before = _kills(self._events)
        try:
            room = _STEP
            while True:
                try:
                    self._limit.write_text(str(int(usage.read_text()) + room))
                    break
                except OSError:  # version 1 takes no limit below what is used
                    room += _STEP
            self._hog.communicate(b"\n", timeout=60)
        finally:
            self._limit.write_text(_UNLIMITED[self._limit.name])
        return _kills(self._events) - before - (self._hog.returncode < 0)

    def close(self) -> None:
        """Remove it; what is still in it moves up."""
        if self._hog is not None:
            self._hog.kill()
            self._hog.communicate()
        with suppress(OSError):
            for pid in self.procs.read_text().split():
                with suppress(OSError):
                    (self._folder.parent / "cgroup.procs").write_text(pid)
        with suppress(OSError):
            self._folder.rmdir()


def _kills(events: Path) -> int:
    lines = (line.split() for line in events.read_text().splitlines())
    return next((int(words[1]) for words in lines if words[0] == "oom_kill"), 0)


def _parent() -> Path:
    version_1 = _ROOT / "memory"
    if (version_1 / "memory.limit_in_bytes").exists():
        return version_1
    with suppress(OSError):
        (_ROOT / "cgroup.subtree_control").write_text("+memory")
    return _ROOT


def _is_version_2(parent: Path) -> bool:
    return (parent / "cgroup.controllers").exists()


@cache
def why_not() -> str | None:
    """Return why no group can be made here; None: one can."""
    if os.geteuid() != 0:
        return "control groups are made as root"
    try:
        MemoryGroup(f"edgebench-try-{os.getpid()}").close()
    except OSError as error:
        return f"no control group for memory can be made: {error}"
    return None
