"""Sessions on several boards at once: what happens to one board does not happen to the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from edgebench.events import Began, Event, OnEvent
from edgebench.measurement import Measurement


class Measure(Protocol):
    """A session that is ready to go: call it, and it tells how it goes on."""

    def __call__(self, *, on_event: OnEvent) -> list[Measurement]: ...


@dataclass(slots=True, kw_only=True)
class BoardResult:
    """What came of a board's session: its measurements, or why it ended early. `session`: None before it began."""

    device: str
    measurements: list[Measurement] = field(default_factory=list)
    session: str | None = None
    error: BaseException | None = None
    ended: threading.Event = field(default_factory=threading.Event, repr=False)


def run_sessions(sessions: Mapping[str, Measure], *, on_event: Callable[[str, Event], None]) -> list[BoardResult]:
    """Carry out one session a board, all at once; return what came of each, in the order given.

    `on_event(board, event)` is called by one board at a time. An interrupt (Ctrl-C) ends every session where it tells
    something next; each then has KeyboardInterrupt as its error.
    """
    results = [BoardResult(device=name) for name in sessions]
    interrupted = threading.Event()
    telling = threading.Lock()
    works = [
        threading.Thread(
            target=_carry_out, args=(result, measure, interrupted, telling, on_event), name=result.device, daemon=True
        )
        for result, measure in zip(results, sessions.values(), strict=True)
    ]
    if len(works) == 1:
        works[0].run()  # here: an interrupt then ends even a wait for the network
        return results
    for work in works:
        work.start()
    try:
        _wait_for(results)
    except KeyboardInterrupt:
        interrupted.set()
        _wait_for(results)
    return results


def _wait_for(results: list[BoardResult]) -> None:
    # Not Thread.join: interrupted, it takes the thread for ended (Python 3.11, https://github.com/python/cpython/issues/90882).
    for result in results:
        while not result.ended.wait(0.2):  # with a bound: an interrupt gets through
            pass


def _carry_out(
    result: BoardResult,
    measure: Measure,
    interrupted: threading.Event,
    telling: threading.Lock,
    on_event: Callable[[str, Event], None],
) -> None:
    is_ending = False

    def tell(event: Event) -> None:
        nonlocal is_ending
        if isinstance(event, Began):
            result.session = event.session
        if interrupted.is_set() and not is_ending:
            is_ending = True
            raise KeyboardInterrupt
        with telling:
            on_event(result.device, event)

    try:
        result.measurements = measure(on_event=tell)
    except BaseException as error:  # noqa: BLE001 - the other boards go on; whoever asked for all gets to know it
        result.error = error
    finally:
        result.ended.set()
