"""The board's clock governor and power mode, the host's half: set for a session, restored at its end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from edgebench.board.agent import RemoteAgent
from edgebench.errors import BoardBusy, BoardError, DeviceError, LeaseLost
from edgebench.events import LogMessage, OnEvent, ignore
from edgebench.text import printable
from edgebench_agent import protocol

_FASTEST = "performance"  # the kernel's governor that keeps the highest clock
_MAX_MODES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerState:
    """A governor and the number of a power mode (nvpmodel's); None: as it was found."""

    governor: str | None = None
    power_mode: int | None = None


AS_FOUND = PowerState()


@dataclass(slots=True)
class BoardPower:
    """Sets a board's clocks and power mode. `states`: those to choose from, the first as the board was found."""

    agent: RemoteAgent
    states: tuple[PowerState, ...] = (AS_FOUND,)
    _now: PowerState = field(init=False, default=AS_FOUND)

    def apply(self, state: PowerState) -> None:
        """Bring the board into a state, unless it is in it.

        Raises:
            BoardError: the board does not take it.
        """
        if state == self._now:
            return
        request = protocol.PowerRequest(do="set", governor=state.governor or "", power_mode=state.power_mode)
        self._now = PowerState(governor="unknown")  # until the board has confirmed it
        self.agent.power(request)
        self._now = state

    def leave_out(self, state: PowerState) -> None:
        """Take a state off those to choose from."""
        self.states = tuple(each for each in self.states if each != state)


@contextmanager
def managed_power(agent: RemoteAgent, *, is_wanted: bool, on_event: OnEvent = ignore) -> Iterator[BoardPower]:
    """Give the means to set the board's power, and restore that in the end; not `is_wanted`: nothing is changed."""
    if not is_wanted:
        yield BoardPower(agent)
        return
    shown = agent.power(protocol.PowerRequest(do="show"))
    refusals = refusals_of(shown)
    if refusals:
        on_event(LogMessage(f"{agent.name}: some settings can't be tuned and stay as they are: {'; '.join(refusals)}"))
    try:
        yield BoardPower(agent, states_of(shown))
    finally:
        try:
            note = agent.power(protocol.PowerRequest(do="restore")).get("note")
            if isinstance(note, str):
                on_event(LogMessage(f"{agent.name}: {printable(note, 1000)}"))
        except DeviceError as error:
            on_event(LogMessage(f"{agent.name}: {error}; the next session there restores the clocks"))


def states_of(shown: Mapping[str, Any]) -> tuple[PowerState, ...]:
    """Return the states to try, from the agent's answer: as found, at the highest clock, every other power mode."""
    offered, modes = shown.get("governors"), shown.get("power_modes")
    can_govern = shown.get("governor_refused", "") is None and isinstance(offered, list) and _FASTEST in offered
    fastest = _FASTEST if can_govern else None
    states = [AS_FOUND]
    if fastest is not None and shown.get("governor") != fastest:
        states.append(PowerState(governor=fastest))
    if shown.get("power_mode_refused", "") is None and isinstance(modes, dict):
        numbers = [int(mode) for mode in list(modes)[:_MAX_MODES] if re.fullmatch("[0-9]{1,6}", mode)]
        others = [mode for mode in numbers if mode != shown.get("power_mode")]
        states += [PowerState(governor=fastest, power_mode=mode) for mode in others]
    return tuple(states)


def refusals_of(shown: Mapping[str, Any]) -> list[str]:
    """Return why parts of the board's power may not be set."""
    reasons = [shown.get(name) for name in ("governor_refused", "power_mode_refused")]
    return [printable(text, 500) for text in reasons if isinstance(text, str)]


def is_refusal(error: BoardError) -> bool:
    """Whether the board refused a state, rather than our session."""
    return not isinstance(error, LeaseLost | BoardBusy)
