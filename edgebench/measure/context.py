"""The session that is in progress: its request, its store, and the board that it has to itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from edgebench.board import BoardPower, RemoteAgent, managed_power, open_leased_agent
from edgebench.events import Began, LogMessage, OnEvent
from edgebench.export import cache_folder, tflite_runtime_python
from edgebench.measurement import Measurement
from edgebench.request import Request, request_to_json
from edgebench.store import Store

#: Whether the measurements so far, one for each cell, end a session at one of its planned looks.
IsDecided = Callable[[Sequence[Measurement]], bool]


@dataclass(slots=True, kw_only=True)
class Session:
    """What every step of a session needs.

    `request` is replaced once where its plan is reduced to fit a budget. `started_s`: on time.monotonic's clock; a
    budget counts from there. `is_decided`: asked at each look, if there are several; None: the comparisons decide.
    """

    id: str
    request: Request
    store: Store
    on_event: OnEvent
    agent: RemoteAgent
    power: BoardPower
    started_s: float
    is_decided: IsDecided | None = None

    def begin(self) -> None:
        """Store the request: from here on there is something to resume."""
        self.save_request()
        self.on_event(Began(self.id))

    def save_request(self) -> None:
        """Store the request as it is now."""
        self.store.write_session(self.id, request_to_json(self.request))

    def log(self, text: str) -> None:
        """Report one line to whoever shows the session."""
        self.on_event(LogMessage(text))


@contextmanager
def open_session(
    id: str,
    request: Request,
    store: Store,
    *,
    started_s: float,
    on_event: OnEvent,
    is_decided: IsDecided | None = None,
) -> Iterator[Session]:
    """Lease the request's board for a session; its power settings are restored and the lease released at the end.

    Raises:
        BoardBusy: another user still had the board after `request.wait_s`.
        DeviceError: the board can't be reached, or can't run the agent.
    """
    with (
        open_leased_agent(
            request.device,
            purpose=f"profile, session {id}",
            python=_agent_python(request, on_event),
            wait_s=request.wait_s,
            on_event=on_event,
        ) as agent,
        managed_power(agent, is_wanted="power" in request.tune, on_event=on_event) as power,
    ):
        yield Session(
            id=id,
            request=request,
            store=store,
            on_event=on_event,
            agent=agent,
            power=power,
            started_s=started_s,
            is_decided=is_decided,
        )


def _agent_python(request: Request, on_event: OnEvent) -> str:
    """Return the Python that runs the agent: the device's, but on this machine tflite-runtime has its own."""
    if not request.device.is_local or request.runtime != "tflite-runtime":
        return request.device.python
    return str(tflite_runtime_python(cache=cache_folder(), on_progress=lambda text: on_event(LogMessage(text))))
