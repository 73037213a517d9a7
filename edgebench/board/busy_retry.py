"""Waiting for a board on which another run is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from edgebench.board.retry import Retry
from edgebench.errors import BoardBusy
from edgebench.events import LogMessage, OnEvent, Waiting, ignore
from edgebench.text import duration_text

_T = TypeVar("_T")

#: How long a launch waits for another run. On a board whose lease we hold, that is a run without a lease: a short one.
BUSY_WAIT_S = 600.0
_BUSY_POLL_S = 2.0


class BusyRetry:
    """Waits at most `limit_s` seconds for a busy board, each time it is called; `on_event` hears of it."""

    def __init__(self, limit_s: float = BUSY_WAIT_S, *, on_event: OnEvent = ignore) -> None:
        self._limit_s = limit_s
        self._on_event = on_event

    def log(self, text: str) -> None:
        """Report one line."""
        self._on_event(LogMessage(text))

    def call(self, begin: Callable[[], _T]) -> _T:
        """Return what `begin` returns, which launches a run; while the board is busy, begin again.

        Raises:
            BoardBusy: the board is still busy after `limit_s`.
        """
        deadline_s = time.monotonic() + self._limit_s

        def wait(failed: int, busy: Exception) -> None:
            if failed == 1:
                self._on_event(LogMessage(f"{busy}; waiting for at most {duration_text(self._limit_s)}"))
            wait_for_board(_BUSY_POLL_S, until_s=deadline_s, on_event=self._on_event)

        return Retry(BoardBusy, limit_s=self._limit_s, before_retry=wait).call(begin)


def wait_for_board(seconds: float, *, until_s: float, on_event: OnEvent) -> None:
    """Sleep, but not beyond `until_s` (time.monotonic); `on_event` gets a `Waiting` every second and may raise."""
    wakes_s = min(time.monotonic() + seconds, until_s)
    while (now_s := time.monotonic()) < wakes_s:
        on_event(Waiting(until_s - now_s))
        time.sleep(min(1.0, wakes_s - now_s))


#: Does not wait at all.
NO_RETRY = BusyRetry(0.0)
