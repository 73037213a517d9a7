"""One run on the board, from its specification to its last message."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import fields, replace

from edgebench.analysis import LEAST_JUDGED_NS, MOST_OF_MARGIN
from edgebench.artifact import Artifact
from edgebench.board import RemoteAgent, model_files, providers_for, run_failure, runtime_of
from edgebench.measure.cells import Cell
from edgebench.measure.collect import RunCollector, RunInterrupted, collect_models
from edgebench.measure.context import Session
from edgebench.reason import Reason, ReasonCode
from edgebench.request import Request
from edgebench.run import Run
from edgebench.workload import EncodedInputs, RunPlan, Workload
from edgebench_agent import protocol

#: Most inferences of a run, and of a sustained one (an hour of half a millisecond each).
_MOST, _MOST_SUSTAINED = 1 << 18, 1 << 23
#: The time constant of the slowest start that warm-up waits for: a kernel gives huge pages about every ten seconds.
_SLOWEST_START_S = 10.0
LEASE_NS = 600 * 1_000_000_000  # a run that the host does not renew ends after ten minutes
INTERRUPTED = Reason(ReasonCode.INTERRUPTED, "interrupted before its end")


class RunEnded(Exception):
    """A process ended early. `runs`: what it had measured; `why`: the error to raise after they are stored."""

    def __init__(self, runs: Sequence[Run], why: BaseException) -> None:
        super().__init__(runs[0].id)
        self.runs = runs
        self.why = why


def run_spec(
    agent: RemoteAgent,
    artifact: Artifact,
    workload: Workload,
    inputs: EncodedInputs,
    *,
    run_id: str,
    providers: Sequence[str],
    plan: RunPlan | None,
    runtime: str | None = None,
    most_fall_ppm_per_s: int = 0,
) -> protocol.RunSpec:
    """Return the specification of a run over inputs that are on the board already.

    Args:
        plan: None: run each input once, and keep the outputs.
        runtime: as for `preflight`.
        most_fall_ppm_per_s: until when warm-up goes on, see RunSpec.
    """
    return protocol.RunSpec(
        run_id=run_id,
        mode="infer" if plan is None else "measure",
        runtime=runtime_of(artifact, runtime),
        files=model_files(agent, artifact),
        inputs_sha256=hashlib.sha256(inputs.to_bytes()).hexdigest(),
        lengths=inputs.lengths.tolist(),
        batch=workload.batch,
        choices=workload.choices or 1,
        pad_token_id=artifact.pad_token_id,
        first_position=artifact.first_position,
        separator=artifact.separator,
        threads=workload.threads or 0,
        providers=list(providers),
        min_count=plan.min_count if plan else 1,
        min_duration_ns=round(plan.min_duration_s * 1e9) if plan else 0,
        max_duration_ns=round(plan.max_duration_s * 1e9) if plan else protocol.MAX_INT,
        lease_ns=LEASE_NS,
        most_count=_MOST if plan is None or plan.sustained_min is None else _MOST_SUSTAINED,
        scenario=str(workload.scenario),
        rate_mhz=round(1000 * workload.queries_per_s) if workload.queries_per_s is not None else 0,
        affinity=list(workload.affinity or ()),
        warmup_ns=round(plan.max_warmup_s * 1e9) if plan else 0,
        most_fall_ppm_per_s=most_fall_ppm_per_s,
        seed=zlib.crc32(run_id.encode()),  # different arrivals in every run
    )


def _most_fall_ppm_per_s(request: Request) -> int:
    """Return the fall at which what is left of a slow start moves the figure by less than the rules let through.

    0, which demands nothing, for runs that are too short to be judged, and for sustained ones, which show everything.
    """
    plan = request.plan
    if plan.sustained_min is not None or plan.min_duration_s * 1e9 < LEAST_JUDGED_NS:
        return 0
    return max(1, round(1e6 * MOST_OF_MARGIN * request.margin / _SLOWEST_START_S))


def measure_runs(
    session: Session,
    cells: Sequence[Cell],
    plan: RunPlan,
    *,
    run_ids: Sequence[str],
    watch: Callable[[RunCollector], None] | None = None,
) -> list[Run]:
    """Measure one run of each cell, in one process in which their models alternate; return the runs in this order.

    Args:
        plan: of this run, which may be shorter or longer than the request's.
        run_ids: one for each cell; the first is also the process's.
        watch: called after every message with what was collected for the first cell.

    Raises:
        BoardBusy: another run still occupies the board after the time that the agent waits.
        ConnectionLost, AgentError, BoardError: the run is ended on the board, as far as it can be reached.
        RunEnded: it was interrupted, or the run failed.
    """
    agent, request = session.agent, session.request
    specs = [
        run_spec(
            agent,
            cell.subject.artifact,
            cell.workload,
            cell.inputs,
            run_id=run_ids[0],
            providers=providers_for(request.device, cell.subject.artifact),
            plan=plan,
            runtime=request.runtime,
            most_fall_ppm_per_s=_most_fall_ppm_per_s(request),  # also of a pilot, whose time is that of the others
        )
        for cell in cells
    ]
    spec = replace(specs[0], journal=request.journal)
    spec = replace(spec, beside=[{name: getattr(each, name) for name in _OF_A_MODEL} for each in specs[1:]])
    collectors = [
        RunCollector(part, id=id, model=number, models=len(specs))
        for number, (part, id) in enumerate(zip(spec.parts(), run_ids, strict=True))
    ]
    try:
        collect_models(agent, spec, collectors, watch=watch)
    except RunInterrupted as interrupt:
        runs = [replace(collector.run(), reasons=(INTERRUPTED,)) for collector in collectors]
        raise RunEnded(runs, interrupt) from interrupt
    runs = [collector.run() for collector in collectors]
    failed = collectors[0].failed
    if failed is not None:
        raise _failed_run(agent, cells, runs, failed)
    return runs


#: What differs between the models of one process; all else must be the same.
_OF_A_MODEL = tuple(slot.name for slot in fields(protocol.AlternateModel))


def _failed_run(agent: RemoteAgent, cells: Sequence[Cell], runs: Sequence[Run], failed: protocol.Failed) -> RunEnded:
    """Return the runs of a process that failed, each with its reason, and the error that names the models at fault."""
    at_fault = [failed.model] if failed.model is not None else list(range(len(cells)))
    error = run_failure(f"{agent.name}: {' and '.join(cells[number].name for number in at_fault)}", failed)
    reason = Reason(ReasonCode.FAILED, f"failed: {failed.kind}")
    reasons = [reason if number in at_fault else reason.of_partner() for number in range(len(cells))]
    return RunEnded([replace(run, reasons=(why,)) for run, why in zip(runs, reasons, strict=True)], error)
