"""Whether the worker still makes progress.

The worker sends a message at least every half second, or after each inference that takes longer. Between messages, a
long operation - loading a large model from a slow card, one batch of long texts on a small board - uses processor time.
How long it may be silent depends on what it does.
"""

import time
from pathlib import Path
from typing import NamedTuple, Optional

from ..board.kernel_files import read_text
from ..board.sensors.load import process_seconds
from ..protocol.run_spec import RunSpec

#: Stopped by a signal or a debugger for so long.
STOPPED_S = 10
#: No message and no processor time for so long: the worker waits for something that will never come. Reading from a
#: card, however slow, uses some processor time; an accelerator may work for a while without any.
IDLE_S = 60
IDLE_FIRST_S = 300
#: No message for so long, even if it is busy: importing, loading (and longer by the model's size), a first inference.
IMPORT_S = 600
LOAD_S = 300
LOAD_BYTES_PER_S = 1_000_000
FIRST_S = 300
#: An inference takes two operations for each weight and token; the slowest useful board does so many in a second.
OPERATIONS_PER_S = 500_000_000
#: Once inferences are timed: so many times the longest silence of the warm-up, and at least so long.
TIMES_WARM, TIMED_S = 10, 60
#: Nothing useful takes longer.
MOST_S = 3600

#: More time between two checks does not count as silence: the board stood still, e.g. as a paused virtual machine.
_LONGEST_INTERVAL_NS = 2_000_000_000
#: Mean times between two queries, of which a server waits longer once in half a billion.
_GAPS = 20


class Bounds(NamedTuple):
    """For how many seconds the worker may be silent: without using processor time (None: for as long), and at all."""

    idle_s: Optional[int]
    silent_s: int


class Progress:
    """The progress of process `pid`, as its supervisor sees it. Call `check` about once a second."""

    def __init__(self, pid: int, spec: RunSpec) -> None:
        self._spec = spec
        self._stat = Path("/proc", str(pid), "stat")
        self._used = process_seconds(self._stat)
        self._checked_ns = time.monotonic_ns()
        self._heard_ns = self._checked_ns
        self._longest_warm_ns = 0
        self._stopped_ns = 0
        self._idle_ns = 0
        self._silent_ns = 0
        self._model_bytes = 0
        self._phase = "starting"
        self.bounds = Bounds(IDLE_S, IMPORT_S)

    def note_message(self) -> None:
        """Note that a message arrived."""
        now = time.monotonic_ns()
        if self._phase in ("first", "warmup"):
            self._longest_warm_ns = max(self._longest_warm_ns, now - self._heard_ns)
        self._heard_ns = now
        self._idle_ns = self._silent_ns = 0

    def enter(self, phase: str, model_bytes: int) -> None:
        """Note that the worker may enter a phase now. `model_bytes`: of all models of the run."""
        self._phase = phase
        self._model_bytes = model_bytes
        self._heard_ns = time.monotonic_ns()
        self._idle_ns = self._silent_ns = 0
        self.bounds = self._bounds_of(phase)

    def _bounds_of(self, phase: str) -> Bounds:
        if phase == "idle":
            return Bounds(None, TIMED_S + self._spec.min_duration_ns // 1_000_000_000)
        if phase == "loading":
            return Bounds(2 * IDLE_S, LOAD_S + self._model_bytes // LOAD_BYTES_PER_S)
        if self._spec.mode == "operators":
            return Bounds(IDLE_FIRST_S, MOST_S)  # sends nothing before its end
        if phase in ("first", "warmup") or not self._longest_warm_ns:
            return Bounds(IDLE_FIRST_S, self._first_s())
        seconds = max(TIMED_S, TIMES_WARM * self._longest_warm_ns // 1_000_000_000)
        if self._spec.rate_mhz:
            seconds += _GAPS * 1000 // self._spec.rate_mhz
        return Bounds(seconds, seconds)

    def _first_s(self) -> int:
        """Return how long the first inference of a shape may take, by the size of models and inputs."""
        tokens = max(self._spec.lengths) * self._spec.batch * self._spec.choices
        return min(MOST_S, FIRST_S + 2 * self._model_bytes * tokens // OPERATIONS_PER_S)

    def is_stopped(self) -> bool:
        """Return whether the process was stopped by a signal or a debugger when it was looked at last."""
        return self._stopped_ns > 0

    def check(self) -> Optional[str]:
        """Return None, or what is wrong once the process counts as stuck."""
        now = time.monotonic_ns()
        passed = min(now - self._checked_ns, _LONGEST_INTERVAL_NS)
        self._checked_ns = now
        used = process_seconds(self._stat)
        self._idle_ns = self._idle_ns + passed if used == self._used else 0
        self._silent_ns += passed
        self._used = used
        is_stopped = (read_text(self._stat) or "").rpartition(")")[2].split()[:1] in (["T"], ["t"])
        self._stopped_ns = self._stopped_ns + passed if is_stopped else 0
        if self._stopped_ns > STOPPED_S * 1e9:
            return f"has been stopped for {STOPPED_S} s, by a signal (SIGSTOP) or a debugger"
        idle_s, silent_s = self.bounds
        is_silent = self._silent_ns > silent_s * 1e9
        if idle_s is not None and (self._idle_ns > idle_s * 1e9 or (is_silent and self._idle_ns > silent_s * 5e8)):
            return f"sent nothing and used no processor time for {idle_s} s; is a disk or an accelerator hung?"
        if is_silent:
            return f"sent nothing for {silent_s} s, though it used processor time; try a smaller batch or model"
        return None
