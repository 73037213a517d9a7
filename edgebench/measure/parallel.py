"""Sessions on several boards at once: a failure on one board does not affect the others."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from edgebench import ending
from edgebench.events import Began, Event, OnEvent
from edgebench.measurement import Measurement

#: What a session may still do after its ending, such as to write what it received.
_AFTER_ENDING_S = 1.5


class Measure(Protocol):
    """A session that is ready to start: call it to measure; progress goes to `on_event`."""

    def __call__(self, *, on_event: OnEvent) -> list[Measurement]: ...


@dataclass(slots=True, kw_only=True)
class BoardResult:
    """The result of a board's session: its measurements, or the error that ended it; `session`: None if none began."""

    device: str
    measurements: list[Measurement] = field(default_factory=list)
    session: str | None = None
    error: BaseException | None = None
    ended: threading.Event = field(default_factory=threading.Event, repr=False)


def run_sessions(sessions: Mapping[str, Measure], *, on_event: Callable[[str, Event], None]) -> list[BoardResult]:
    """Run one session on each board, all at the same time.

    Args:
        sessions: a session for each board's name.
        on_event: called with the board's name and an event, by one board at a time.

    Returns:
        A result for each board, in the order of `sessions`. A session's error is in its result and is not raised. After
        an interrupt (Ctrl-C) every session ends at its next event or wait, with KeyboardInterrupt as its error; one
        that does not end in time is left behind.
    """
    results = [BoardResult(device=name) for name in sessions]
    interrupted = threading.Event()
    reporting = threading.Lock()
    threads = [
        threading.Thread(
            target=_run, args=(result, measure, interrupted, reporting, on_event), name=result.device, daemon=True
        )
        for result, measure in zip(results, sessions.values(), strict=True)
    ]
    if len(threads) == 1:
        threads[0].run()  # in this thread: an interrupt then ends even a wait for the network
        return results
    for thread in threads:
        thread.start()
    try:
        _wait_for(results, until_s=math.inf)
    except KeyboardInterrupt:
        ending.begin()
        interrupted.set()
        try:
            _wait_for(results, until_s=time.monotonic() + ending.ENDING_S + _AFTER_ENDING_S)
        except KeyboardInterrupt:
            ending.begin(ending.SECOND_S)
            _wait_for(results, until_s=time.monotonic() + ending.SECOND_S)
        for result in results:
            if not result.ended.is_set():  # it hangs in a call that nothing ends, and the threads are daemons
                result.error = KeyboardInterrupt()
    return results


def _wait_for(results: list[BoardResult], *, until_s: float) -> None:
    # Not Thread.join: after an interrupt it takes the thread for ended (Python 3.11, https://github.com/python/cpython/issues/90882).
    for result in results:
        while time.monotonic() < until_s and not result.ended.wait(0.2):
            pass  # a wait without a timeout would hold interrupts back


def _run(
    result: BoardResult,
    measure: Measure,
    interrupted: threading.Event,
    reporting: threading.Lock,
    on_event: Callable[[str, Event], None],
) -> None:
    def report(event: Event) -> None:
        if isinstance(event, Began):
            result.session = event.session
        ending.check()
        with reporting:
            on_event(result.device, event)

    if threading.current_thread() is not threading.main_thread():
        ending.bind(interrupted)
    try:
        result.measurements = measure(on_event=report)
    except BaseException as error:  # noqa: BLE001 - the other boards go on; the caller gets it in the result
        result.error = error
    finally:
        result.ended.set()
