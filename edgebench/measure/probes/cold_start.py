"""A cold start: a process that loads a model and infers once, its files out of the board's memory before."""

from __future__ import annotations

import secrets
from dataclasses import replace

from edgebench.board.agent import RemoteAgent
from edgebench.board.journal import failure
from edgebench.board.preflight import providers_for
from edgebench.errors import AgentError, BoardError, LeaseLost, RunFailed
from edgebench.events import LogMessage, OnEvent
from edgebench.figures import ColdStart
from edgebench.measure.collect import RunCollector
from edgebench.measure.runs import Cell, run_spec
from edgebench.request import Request
from edgebench.store.store import Store


def start_cold_and_keep(agent: RemoteAgent, cell: Cell, request: Request, store: Store, on_event: OnEvent) -> None:
    """Start a cell cold, unless that was done; what goes wrong is said, and what was measured stays."""
    if store.cold_start(cell.subject.id) is not None:
        return
    try:
        started = _start(agent, cell, request)
    except LeaseLost:
        raise
    except (RunFailed, AgentError, BoardError) as error:
        what = f"{cell.subject.variant.name} {cell.subject.artifact.format}"
        on_event(LogMessage(f"{what}: its cold start was not measured: {error}"))
        return
    store.write_cold_start(cell.subject.id, started)


def _start(agent: RemoteAgent, cell: Cell, request: Request) -> ColdStart:
    artifact = cell.subject.artifact
    spec = replace(
        run_spec(
            agent,
            artifact,
            cell.workload,
            cell.inputs,
            run_id=f"{cell.subject.id}-cold-{secrets.token_hex(2)}",
            providers=providers_for(request.device, artifact),
            plan=request.plan,
            runtime=request.runtime,
        ),
        mode="load",
    )
    collector = RunCollector(spec, started_at="")
    with agent.running(spec) as entries:
        for entry in entries:
            collector.take(entry)
    if collector.failed is not None:
        raise failure(agent.name, collector.failed)
    run = collector.run()
    return ColdStart(load_ns=run.load_ns, first_ns=run.first_ns, resident_share=run.facts.resident_before_load)
