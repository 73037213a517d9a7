"""Sessions on several boards at once: a failure on one board does not affect the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from edgebench.events import Began, Event, OnEvent
from edgebench.measurement import Measurement


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
        an interrupt (Ctrl-C) every session ends at its next event, with KeyboardInterrupt as its error.
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
        _wait_for(results)
    except KeyboardInterrupt:
        interrupted.set()
        _wait_for(results)
    return results


def _wait_for(results: list[BoardResult]) -> None:
    # Not Thread.join: after an interrupt it takes the thread for ended (Python 3.11, https://github.com/python/cpython/issues/90882).
    for result in results:
        while not result.ended.wait(0.2):  # a wait without a timeout would hold interrupts back
            pass


def _run(
    result: BoardResult,
    measure: Measure,
    interrupted: threading.Event,
    reporting: threading.Lock,
    on_event: Callable[[str, Event], None],
) -> None:
    is_ending = False

    def report(event: Event) -> None:
        nonlocal is_ending
        if isinstance(event, Began):
            result.session = event.session
        if interrupted.is_set() and not is_ending:
            is_ending = True
            raise KeyboardInterrupt
        with reporting:
            on_event(result.device, event)

    try:
        result.measurements = measure(on_event=report)
    except BaseException as error:  # noqa: BLE001 - the other boards go on; the caller gets it in the result
        result.error = error
    finally:
        result.ended.set()
