"""Waiting until nothing else keeps a board busy, by the limits that judge a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edgebench.analysis import disturbance
from edgebench.board import RemoteAgent
from edgebench.errors import BoardBusy
from edgebench.events import LogMessage, OnEvent, Waiting, ignore
from edgebench.facts import OtherLoad
from edgebench.stats import MARGIN
from edgebench.text import duration_text

_WATCH_S = 1.0
_POLL_S = 2.0
#: One quiet second between two bursts is not quiet.
_QUIET_READINGS = 2
_REPORT_EVERY_S = 60.0


@dataclass(slots=True, kw_only=True)
class IdleWait:
    """Waits until a board is quiet, and reports what it waits for.

    Args:
        read: returns what others take of the board, over the last second.
        name: of the board, for messages.
        most_s: longest wait, in seconds.
        margin: what the runs' figures are to be held to; the limits follow from it.
    """

    read: Callable[[], OtherLoad]
    name: str
    most_s: float
    margin: float = MARGIN
    on_event: OnEvent = ignore
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _has_reported: bool = field(init=False, default=False)

    def require(self) -> None:
        """Wait before the first run.

        Raises:
            BoardBusy: the board was not quiet within `most_s`.
        """
        busy = self.wait()
        if busy is not None:
            raise BoardBusy(
                f"{self.name}: still busy after {self.most_s:.0f} s: {busy}",
                hint=f"end it, wait longer (`wait_idle_s={max(60, 2 * self.most_s):.0f}`), or measure without waiting: "
                f"the figures are then marked as not valid",
            )

    def wait(self) -> str | None:
        """Wait; return what still keeps the board busy after `most_s`, None where it is quiet."""
        began, reported_s, quiet, busy = self.clock(), None, 0, None
        while True:
            load = self.read()
            if (load.others_millicores, load.stolen_millicores, load.waiting_permille) == (None, None, None):
                if not self._has_reported:
                    self.on_event(LogMessage(f"{self.name} does not report other load: runs begin without waiting"))
                    self._has_reported = True
                return None
            waited = self.clock() - began
            found = disturbance(load, margin=self.margin)
            quiet = quiet + 1 if found is None else 0
            busy = found or busy
            if quiet >= _QUIET_READINGS:
                if reported_s is not None:
                    self.on_event(LogMessage(f"{self.name} is quiet after {waited:.0f} s"))
                return None
            if waited >= self.most_s:
                return busy if found is not None else None
            if found is not None and (reported_s is None or waited - reported_s >= _REPORT_EVERY_S):
                left = self.most_s - waited
                self.on_event(
                    LogMessage(f"{self.name} is busy: {found}; waiting at most {duration_text(left)} for quiet")
                )
                reported_s = waited
            if found is not None:
                self.on_event(Waiting(self.most_s - waited))
                self.sleep(min(_POLL_S, max(0.0, self.most_s - waited)))


def idle_wait_of(
    agent: RemoteAgent, most_s: float | None, on_event: OnEvent, *, margin: float = MARGIN
) -> IdleWait | None:
    """Return the wait for a quiet board; None where nobody asked for one."""
    if most_s is None:
        return None

    def read() -> OtherLoad:
        agent.keep_lease()  # to wait may take longer than a lease lives without renewal
        return agent.load(seconds=_WATCH_S)

    return IdleWait(read=read, name=agent.name, most_s=most_s, margin=margin, on_event=on_event)
