"""Cooling down before a run: until a temperature is reached, not for a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgebench.analysis.conditions import cpu_temperatures
from edgebench.events import Cooling, LogMessage, OnEvent, ignore

_POLL_S = 2.0
#: A board that idles above its profile's temperature can't get below it: then every run starts as warm as the first,
#: and so much more, for a sensor's last degree may take for ever.
_ABOVE_FIRST_MC = 2_000


@dataclass(slots=True, kw_only=True)
class CoolDown:
    """Waits until the hottest CPU zone is cool enough.

    `read` gives temperatures by sensor (`temperature_mc/ZONE`). `below_mc`: of the board's profile, None: no waiting;
    `asked_mc`: what a person asked for, which is kept to as it is. `most_s`: of one wait.
    """

    read: Callable[[], Mapping[str, int]]
    below_mc: int | None
    asked_mc: int | None = None
    most_s: float = 600.0
    on_event: OnEvent = ignore
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _has_told: bool = field(init=False, default=False)
    _target_mc: int | None = field(init=False, default=None)

    def wait(self, *, at_most_s: float | None = None) -> dict[str, Any]:
        """Wait, at most so long; return what a run keeps of it: nothing where there is nothing to wait for."""
        if self.below_mc is None and self.asked_mc is None:
            return {}
        now = self._hottest()
        if now is None:
            if self.asked_mc is not None and not self._has_told:
                self.on_event(
                    LogMessage("the board tells no temperature: runs begin without waiting for it to cool down")
                )
                self._has_told = True
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
        if self.asked_mc is not None:
            return self.asked_mc
        if self._target_mc is None:
            below = self.below_mc or 0
            self._target_mc = below if now_mc <= below else now_mc + _ABOVE_FIRST_MC
        return self._target_mc

    def _hottest(self) -> int | None:
        return max(cpu_temperatures(self.read()).values(), default=None)
