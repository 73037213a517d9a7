"""Operator profile: how long each operator of a model takes, from an extra run that does not count."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace

from edgebench.board import providers_for
from edgebench.errors import AgentError, RunFailed
from edgebench.measure.cells import Cell
from edgebench.measure.collect import collect_run
from edgebench.measure.context import Session
from edgebench.measure.runs import run_spec
from edgebench.operators import Operator, OperatorProfile
from edgebench.run import Run
from edgebench.text import printable
from edgebench_agent import protocol


def profile_operators(session: Session, cell: Cell, runs: Sequence[Run]) -> None:
    """Profile a cell's operators and store the profile, if that is requested or `runs` fell back to the CPU.

    A failure is reported and does not end the session.
    """
    if not (session.request.operators or _has_fallen_back(runs)):
        return
    session.log(f"{cell.name}: profiling its operators, in a run that doesn't count")
    try:
        profile = _profile(session, cell)
    except (RunFailed, AgentError) as error:
        session.log(f"{cell.name}: its operators were not profiled: {error}")
        return
    session.store.write_operators(cell.subject.id, profile)


def _has_fallen_back(runs: Sequence[Run]) -> bool:
    """Whether an accelerator ran only some of the nodes, and the CPU the others."""
    for run in runs:
        nodes = run.facts.nodes or {}
        if nodes.get("CPUExecutionProvider", 0) and len(nodes) > 1:
            return True
    return False


def _profile(session: Session, cell: Cell) -> OperatorProfile:
    agent, request = session.agent, session.request
    artifact = cell.subject.artifact
    spec = run_spec(
        agent,
        artifact,
        cell.workload,
        cell.inputs,
        run_id=f"{cell.subject.id}-operators-{secrets.token_hex(2)}",
        providers=providers_for(request.device, artifact),
        plan=None,
        runtime=request.runtime,
    )
    collector = collect_run(agent, replace(spec, mode="operators"))
    return profile_of(collector.operators, source=f"{agent.name}: run {spec.run_id}")


def profile_of(parts: Sequence[protocol.Operators], *, source: str) -> OperatorProfile:
    """Return the operators that a run reported, the slowest first.

    Raises:
        AgentError: there are none, or more than a model has.
    """
    rows = [
        Operator(
            name=printable(name), type=printable(type), provider=printable(provider), calls=calls, total_ns=total_ns
        )
        for part in parts
        for name, type, provider, calls, total_ns in zip(
            part.names, part.types, part.providers, part.calls, part.total_ns, strict=True
        )
    ]
    if not 0 < len(rows) <= protocol.MAX_ITEMS:
        raise AgentError(f"{source}: reported {len(rows)} operators")
    return OperatorProfile(
        inferences=parts[0].inferences,
        wall_ns=parts[0].wall_ns,
        operators=tuple(sorted(rows, key=lambda operator: -operator.total_ns)),
    )
