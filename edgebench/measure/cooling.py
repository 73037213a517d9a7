"""Cool-down before a run: it ends when a temperature is reached, not after a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgebench.analysis import cpu_temperatures
from edgebench.board import RemoteAgent
from edgebench.events import Cooling, LogMessage, OnEvent, ignore
from edgebench.request import Request

_POLL_S = 2.0
#: A board that idles above its profile's temperature can't cool down to it. Every run then starts as warm as the first,
#: plus this margin, because the last degree may take for ever.
_ABOVE_FIRST_MC = 2_000


@dataclass(slots=True, kw_only=True)
class CoolDown:
    """Waits until the hottest CPU zone is cool enough.

    Args:
        read: returns temperatures by sensor (`temperature_mc/ZONE`), millidegrees Celsius.
        below_mc: from the board's profile, raised for boards that idle above it; None: no waiting.
        requested_mc: what the user requested, which is never raised.
        most_s: longest wait, in seconds.
    """

    read: Callable[[], Mapping[str, int]]
    below_mc: int | None
    requested_mc: int | None = None
    most_s: float = 600.0
    on_event: OnEvent = ignore
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _has_reported: bool = field(init=False, default=False)
    _target_mc: int | None = field(init=False, default=None)

    def wait(self, *, at_most_s: float | None = None) -> dict[str, Any]:
        """Wait for at most `at_most_s` seconds; return the facts that a run keeps of it, none if nothing is awaited."""
        if self.below_mc is None and self.requested_mc is None:
            return {}
        now = self._hottest()
        if now is None:
            if self.requested_mc is not None and not self._has_reported:
                self.on_event(
                    LogMessage("the board reports no temperature: runs begin without waiting for it to cool down")
                )
                self._has_reported = True
            return {}
        target = self._target(now)
        most_s = self.most_s if at_most_s is None else max(0.0, min(self.most_s, at_most_s))
        began = self.clock()
        waited = 0.0
        while now > target and waited < most_s:
            self.on_event(Cooling(now, target, waited))
            self.sleep(min(_POLL_S, most_s - waited))
            now = self._hottest() or now
            waited = self.clock() - began
        if now > target:
            self.on_event(
                LogMessage(
                    f"the board did not cool down to {target / 1000:.0f} °C in {waited:.0f} s; a run begins at "
                    f"{now / 1000:.0f} °C"
                )
            )
        return {"cool_down": {"target_mc": target, "started_mc": now, "waited_ms": round(1000 * waited)}}

    def _target(self, now_mc: int) -> int:
        if self.requested_mc is not None:
            return self.requested_mc
        if self._target_mc is None:
            below = self.below_mc or 0
            self._target_mc = below if now_mc <= below else now_mc + _ABOVE_FIRST_MC
        return self._target_mc

    def _hottest(self) -> int | None:
        return max(cpu_temperatures(self.read()).values(), default=None)


def cool_down_of(agent: RemoteAgent, request: Request, on_event: OnEvent) -> CoolDown:
    """Return the cool-down between a session's runs: to the request's temperature, else to the device profile's."""
    profile_c, requested_c = request.device.profile.cool_below_c, request.cool_below_c

    def read() -> Mapping[str, int]:
        agent.keep_lease()  # to cool down may take longer than a lease lives without renewal
        return agent.temperatures()

    return CoolDown(
        read=read,
        below_mc=1000 * profile_c if profile_c is not None else None,
        requested_mc=round(1000 * requested_c) if requested_c is not None else None,
        most_s=request.cool_wait_s,
        on_event=on_event,
    )
