"""How an interrupted program ends in time: what is still to be done shares one deadline, and storing is not cut short.

Ctrl-C begins the ending (`begin`). From then on every wait for a board is cut to what is left of it (`left_s`), so that
the run is stopped, the lease given back and the connection closed as far as the time allows, and not further. Threads
that Python delivers no Ctrl-C to wait in slices, and get it from their own event (`bind`).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

#: How long an interrupted session may take to end. The command line allows 15 s, its tables included.
ENDING_S = 11.0
#: How long it may take after a second Ctrl-C. The command line allows 2 s.
SECOND_S = 0.4
#: How long each thing that is given up may take then.
_CLOSING_S = 0.5
#: Waits look so often whether the ending has begun meanwhile.
SLICE_S = 0.2
#: The signals that end a program: Ctrl-C, a cancelled job, a terminal that was closed.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _State:
    """The deadline of this process (time.monotonic; None: nothing has been interrupted), and what runs under it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.scopes = 0
        self.deadline_s: float | None = None


class _OfThread(threading.local):
    """What interrupts the waits of a thread, and whether other threads are interrupted by the same event."""

    interrupted: threading.Event | None = None
    is_shared = False


_state = _State()
_of_thread = _OfThread()


@contextmanager
def scope() -> Iterator[None]:
    """Let an ending last until here at the longest: the end of the last scope ends it, and the program may go on."""
    with _state.lock:
        _state.scopes += 1
    try:
        yield
    except KeyboardInterrupt:
        begin()
        raise
    finally:
        with _state.lock:
            _state.scopes -= 1
            if not _state.scopes:
                _state.deadline_s = None


def begin(seconds: float = ENDING_S) -> None:
    """Begin the ending, or shorten it: all that is left to do may take so long in total."""
    deadline_s = time.monotonic() + seconds
    with _state.lock:
        _state.deadline_s = min(deadline_s, _state.deadline_s if _state.deadline_s is not None else deadline_s)


def has_begun() -> bool:
    """Return whether an interrupted program is about to end."""
    return _state.deadline_s is not None


def left_s(most_s: float) -> float:
    """Return how long something may wait: `most_s`, or what is left of an ending."""
    deadline_s = _state.deadline_s
    return most_s if deadline_s is None else max(0.0, min(most_s, deadline_s - time.monotonic()))


def bind(interrupted: threading.Event) -> None:
    """Let the waits of this thread raise KeyboardInterrupt, once, after this event is set. Threads may share it."""
    _of_thread.interrupted, _of_thread.is_shared = interrupted, True


def check() -> None:
    """Raise KeyboardInterrupt if this thread was interrupted; the next call goes on."""
    interrupted = _of_thread.interrupted
    if interrupted is None or not interrupted.is_set():
        return
    if _of_thread.is_shared:
        _of_thread.interrupted = None
    else:
        interrupted.clear()
    raise KeyboardInterrupt


def wait(is_ready: Callable[[float], Any], timeout_s: float, *, is_closing: bool = False) -> bool:
    """Wait in slices with `is_ready(seconds)`, at most `timeout_s` or to the end of an ending; return what it returned.

    `is_closing`: something is given up, which an interrupt shortens and does not cut off.

    Raises:
        KeyboardInterrupt: this thread was interrupted; not if `is_closing`.
    """
    deadline_s = time.monotonic() + timeout_s
    is_cut = False
    while True:
        if not is_closing:
            check()
        elif has_begun() and not is_cut:
            deadline_s, is_cut = min(deadline_s, time.monotonic() + _CLOSING_S), True
        left = left_s(max(0.0, deadline_s - time.monotonic()))
        if is_ready(min(left, SLICE_S)):
            return True
        if left <= SLICE_S:
            return False


def sleep(seconds: float) -> None:
    """Sleep, but not beyond an ending; KeyboardInterrupt as of `wait`."""
    wait(_nap, seconds)


def _nap(seconds: float) -> bool:
    time.sleep(seconds)
    return False


class _Deferral:
    """Signals of the main thread that its waits raise, and nothing else."""

    def __init__(self) -> None:
        self._came = threading.Event()
        self._before: dict[int, Any] = {}
        self._number = 0
        self._count = 0
        self.is_waiting = False

    def begin(self) -> None:
        for number in SIGNALS:
            if callable(handler := signal.getsignal(number)):
                self._before[number] = handler
                signal.signal(number, self._note)
        _of_thread.interrupted, _of_thread.is_shared = self._came, False

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._count += 1
        begin(SECOND_S if self._count > 1 else ENDING_S)
        if self.is_waiting:
            raise KeyboardInterrupt
        self._number = number
        self._came.set()

    def end(self) -> None:
        """Deliver signals as before; one that no wait has raised is delivered now."""
        _of_thread.interrupted = None
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._came.is_set():
            signal.raise_signal(self._number)


_deferral: _Deferral | None = None


@contextmanager
def deferred() -> Iterator[None]:
    """Deliver Ctrl-C and the like in waits only (`wait`, `interruptible`), and at the end.

    So a message that came is taken with all that belongs to it, and what was measured is stored. In other threads than
    the main one, to which no signal is delivered, this changes nothing.
    """
    global _deferral
    if threading.current_thread() is not threading.main_thread() or _deferral is not None:
        yield
        return
    _deferral = _Deferral()
    _deferral.begin()
    try:
        yield
    finally:
        ended, _deferral = _deferral, None
        ended.end()


@contextmanager
def interruptible() -> Iterator[None]:
    """Deliver signals at once within: around calls that wait for a network without `wait`."""
    deferral = _deferral if threading.current_thread() is threading.main_thread() else None
    if deferral is None:
        check()
        yield
        return
    deferral.is_waiting = True
    try:
        check()
        yield
    finally:
        deferral.is_waiting = False
