"""Idle power: what the board draws when nothing runs, measured before the first run if it has a power sensor."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from edgebench.analysis import LEAST_READINGS, averaging_time_ns, idle_power_uw, rails_of
from edgebench.board import PowerState, RemoteAgent
from edgebench.errors import AgentError, BoardBusy
from edgebench.facts import DeviceFacts
from edgebench.measure.cells import Cell
from edgebench.measure.collect import collect_run
from edgebench.measure.context import Session
from edgebench.measure.runs import run_spec
from edgebench.sensors import POWER
from edgebench_agent import protocol

_SETTLE_NS = 1_000_000_000  # the start of the run itself is not idle time; nor what a sensor averages with it
_LONGEST_AVERAGING_NS = 10_000_000_000
_LEAST_S = 3.0
_MOST_S = 20.0


def measure_idle_power(session: Session, cells: Sequence[Cell]) -> dict[PowerState, dict[str, Any]]:
    """Return, for each power state of the cells, the facts that each run keeps: the idle power of each rail, in uW.

    Facts are empty where the board has no power sensor, or where the measurement failed, which is reported: energy net
    of idle power is then missing. The state in which the board was found is measured last, so that it is left in it.
    """
    idle: dict[PowerState, dict[str, Any]] = {}
    for cell in sorted(cells, key=lambda cell: cell.power == cells[0].power):
        if cell.power not in idle:
            session.power.apply(cell.power)
            idle[cell.power] = _measure(session, cell)
    return idle


def _measure(session: Session, cell: Cell) -> dict[str, Any]:
    agent = session.agent
    device = cell.subject.device
    settle_ns = _settle_ns(device)
    seconds = _seconds(device.power_rails_ms or {}, settle_ns)
    if seconds is None:
        return {}
    session.log(f"{agent.name}: measuring its idle power for {seconds:.0f} s")
    spec = run_spec(
        agent,
        cell.subject.artifact,
        cell.workload,
        cell.inputs,
        run_id=f"{session.id}-idle-{secrets.token_hex(2)}",
        providers=[],
        plan=session.request.plan,
    )
    spec = replace(spec, mode="idle", runtime="null", files=[], min_duration_ns=round(seconds * 1e9))
    try:
        powers = _powers(agent, spec, settle_ns)
    except (AgentError, BoardBusy) as error:
        session.log(f"{agent.name}: its idle power was not measured: {error}")
        return {}
    return {"idle_power_uw": powers} if powers else {}


def _powers(agent: RemoteAgent, spec: protocol.RunSpec, settle_ns: int) -> dict[str, float]:
    collector = collect_run(agent, spec)
    phases = collector.phase_starts_ns
    if set(phases) != {"idle", "finishing"}:
        raise AgentError(f"{agent.name}: run {spec.run_id} did not report when the board was idle")
    readings = collector.run().trace.readings
    return idle_power_uw(readings, phases["idle"] + settle_ns, phases["finishing"])


def _settle_ns(device: DeviceFacts) -> int:
    found = rails_of([POWER + rail for rail in device.power_rails_ms or {}])
    averaging_ns = averaging_time_ns(found[0], device.power_averaging_ms) if found is not None else None
    return _SETTLE_NS + min(averaging_ns or 0, _LONGEST_AVERAGING_NS)


def _seconds(rails_ms: Mapping[str, int], settle_ns: int) -> float | None:
    """Return how long it takes to get enough readings of the slowest rail that counts; None if no rail counts."""
    found = rails_of([POWER + rail for rail in rails_ms])
    if found is None:
        return None
    slowest_s = max(rails_ms[rail] for rail in found[0]) / 1000
    return min(_MOST_S, max(_LEAST_S, (LEAST_READINGS + 2) * slowest_s + settle_ns / 1e9))
