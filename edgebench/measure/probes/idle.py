"""What a board takes when nothing runs: measured before a session's first run, where it has a power sensor."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgebench.analysis.energy import LEAST_READINGS, idle_power_uw, rails_of
from edgebench.board.agent import RemoteAgent
from edgebench.board.journal import failure
from edgebench.errors import AgentError, BoardBusy
from edgebench.events import LogMessage, OnEvent
from edgebench.measure.collect import RunCollector
from edgebench.measure.runs import Cell, run_spec
from edgebench.request import Request
from edgebench.sensors import POWER
from edgebench_agent import protocol

_SETTLE_NS = 1_000_000_000  # what was done to begin it is not idleness
_LEAST_S = 3.0
_MOST_S = 20.0


def measure_idle(agent: RemoteAgent, cell: Cell, request: Request, on_event: OnEvent) -> dict[str, Any]:
    """Return the facts that each run of the session keeps: the idle power of each rail; empty without a power sensor.

    `cell`: any one of the session's. What goes wrong is said, and costs only the net figure.
    """
    seconds = _seconds(cell.subject.device.power_rails_ms or {})
    if seconds is None:
        return {}
    on_event(LogMessage(f"{agent.name}: measuring its idle power for {seconds:.0f} s"))
    asked = run_spec(
        agent,
        cell.subject.artifact,
        cell.workload,
        cell.inputs,
        run_id=f"{cell.subject.session}-idle-{secrets.token_hex(2)}",
        providers=[],
        plan=request.plan,
    )
    spec = replace(asked, mode="idle", runtime="null", files=[], min_duration_ns=round(seconds * 1e9))
    try:
        powers = _powers(agent, spec)
    except (AgentError, BoardBusy) as error:
        on_event(LogMessage(f"{agent.name}: its idle power was not measured: {error}"))
        return {}
    return {"idle_power_uw": powers} if powers else {}


def _powers(agent: RemoteAgent, spec: protocol.RunSpec) -> dict[str, float]:
    collector = RunCollector(spec, started_at="")
    borders: dict[str, int] = {}
    with agent.running(spec) as entries:
        for entry in entries:
            collector.take(entry)
            if isinstance(entry.message, protocol.Phase):
                borders[entry.message.name] = entry.t_ns
    if collector.failed is not None:
        raise failure(agent.name, collector.failed)
    if set(borders) != {"idle", "finishing"}:
        raise AgentError(f"{agent.name}: run {spec.run_id} did not say when it rested")
    readings = collector.run().trace.readings
    return idle_power_uw(readings, borders["idle"] + _SETTLE_NS, borders["finishing"])


def _seconds(rails_ms: Mapping[str, int]) -> float | None:
    """Return how long to look for enough readings of the slowest rail that counts; None where none does."""
    found = rails_of([POWER + rail for rail in rails_ms])
    if found is None:
        return None
    slowest_s = max(rails_ms[rail] for rail in found[0]) / 1000
    return min(_MOST_S, max(_LEAST_S, (LEAST_READINGS + 2) * slowest_s + _SETTLE_NS / 1e9))
