"""Waiting for a board that another's run measures on: how long, and who hears of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from edgebench.errors import BoardBusy

_T = TypeVar("_T")

#: How long a launch waits for a run that measures on a board that is ours: it is somebody's without a lease, and short.
BUSY_WAIT_S = 600.0
_BUSY_POLL_S = 2.0


class BusyRetry:
    """At most `limit_s` of waiting, for each thing that is waited for.

    `tell` gets what a person who waits should know, `still_waiting` every second how many seconds are left.
    """

    def __init__(
        self,
        limit_s: float = BUSY_WAIT_S,
        *,
        tell: Callable[[str], None] = lambda _: None,
        still_waiting: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._limit_s = limit_s
        self._tell = tell
        self._still_waiting = still_waiting

    def call(self, begin: Callable[[], _T]) -> _T:
        """Return what `begin` returns, which launches a run; where another one measures, begin again.

        Raises:
            BoardBusy: it still measures there.
        """
        deadline = time.monotonic() + self._limit_s
        told = False
        while True:
            try:
                return begin()
            except BoardBusy as busy:
                if time.monotonic() >= deadline:
                    raise
                if not told:
                    self._tell(f"{busy}; waiting for at most {self._limit_s / 60:.0f} minutes")
                    told = True
                self.wait(_BUSY_POLL_S, until_s=deadline)

    def wait(self, seconds: float, *, until_s: float) -> None:
        """Sleep, not beyond `until_s` (time.monotonic); who hears every second that we wait may raise an interrupt."""
        wakes_s = min(time.monotonic() + seconds, until_s)
        while (now_s := time.monotonic()) < wakes_s:
            self._still_waiting(until_s - now_s)
            time.sleep(min(1.0, wakes_s - now_s))


#: Of an agent that nobody waits for.
NO_RETRY = BusyRetry(0.0)
