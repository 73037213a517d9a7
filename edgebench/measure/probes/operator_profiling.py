"""What each operator of a cell takes, from an extra run that doesn't count."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace

from edgebench.board.agent import RemoteAgent
from edgebench.board.journal import failure
from edgebench.board.preflight import providers_for
from edgebench.errors import AgentError, RunFailed
from edgebench.events import LogMessage, OnEvent
from edgebench.measure.runs import Cell, run_spec
from edgebench.operators import Operator, OperatorProfile
from edgebench.request import Request
from edgebench.run import Run
from edgebench.store.store import Store
from edgebench.text import printable
from edgebench_agent import protocol


def has_fallen_back(runs: Sequence[Run]) -> bool:
    """Whether an accelerator ran only some of the nodes, and the CPU the others."""
    for run in runs:
        nodes = run.facts.nodes or {}
        if nodes.get("CPUExecutionProvider", 0) and len(nodes) > 1:
            return True
    return False


def profile_and_keep(agent: RemoteAgent, cell: Cell, request: Request, store: Store, on_event: OnEvent) -> None:
    """Profile the operators of a cell; what goes wrong is said, and what was measured stays."""
    what = f"{cell.subject.variant.name} {cell.subject.artifact.format}"
    on_event(LogMessage(f"{what}: profiling its operators, in a run that doesn't count"))
    try:
        profile = _profile_operators(agent, cell, request)
    except (RunFailed, AgentError) as error:
        on_event(LogMessage(f"{what}: its operators were not profiled: {error}"))
        return
    store.write_operators(cell.subject.id, profile)


def _profile_operators(agent: RemoteAgent, cell: Cell, request: Request) -> OperatorProfile:
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
    parts: list[protocol.Operators] = []
    with agent.running(replace(spec, mode="operators")) as entries:
        for entry in entries:
            if isinstance(entry.message, protocol.Failed):
                raise failure(agent.name, entry.message)
            if isinstance(entry.message, protocol.Operators):
                parts.append(entry.message)
    return profile_of(parts, source=f"{agent.name}: run {spec.run_id}")


def profile_of(parts: Sequence[protocol.Operators], *, source: str) -> OperatorProfile:
    """Return the operators that a run told of.

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
        raise AgentError(f"{source}: told of {len(rows)} operators")
    return OperatorProfile(
        inferences=parts[0].inferences,
        wall_ns=parts[0].wall_ns,
        operators=tuple(sorted(rows, key=lambda operator: -operator.total_ns)),
    )
