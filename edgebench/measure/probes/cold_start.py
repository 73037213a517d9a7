"""Cold start: a process that loads a model and infers once, after its files were dropped from the page cache."""

from __future__ import annotations

import secrets
from dataclasses import replace

from edgebench.board import providers_for
from edgebench.errors import AgentError, BoardError, LeaseLost, RunFailed
from edgebench.figures import ColdStart
from edgebench.measure.cells import Cell
from edgebench.measure.collect import collect_run
from edgebench.measure.context import Session
from edgebench.measure.runs import run_spec


def measure_cold_start(session: Session, cell: Cell) -> None:
    """Start a cell's model cold and store how long that took, if it is requested and not stored yet.

    A failure is reported and does not end the session, unless the lease is lost.
    """
    if not session.request.cold or session.store.cold_start(cell.subject.id) is not None:
        return
    try:
        started = _start(session, cell)
    except LeaseLost:
        raise
    except (RunFailed, AgentError, BoardError) as error:
        session.log(f"{cell.name}: its cold start was not measured: {error}")
        return
    session.store.write_cold_start(cell.subject.id, started)


def _start(session: Session, cell: Cell) -> ColdStart:
    agent, request = session.agent, session.request
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
    run = collect_run(agent, spec).run()
    return ColdStart(load_ns=run.load_ns, first_ns=run.first_ns, resident_share=run.facts.resident_before_load)
