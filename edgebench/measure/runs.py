"""One run on the board, from its specification to its last message."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import fields, replace

from edgebench.analysis import LEAST_JUDGED_NS, MOST_OF_MARGIN
from edgebench.artifact import Artifact
from edgebench.board import RemoteAgent, model_files, providers_for, run_failure, runtime_of
from edgebench.errors import AgentError, BoardBusy
from edgebench.measure.cells import Cell
from edgebench.measure.collect import RunCollector, collect_models
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
    """A process ended early. `runs`: what it had measured; `why`: the error to raise after they are stored.

    `is_done`: the process itself had ended well, so its runs are complete, and are to be judged as any others.
    """

    def __init__(self, runs: Sequence[Run], why: BaseException, *, is_done: bool = False) -> None:
        super().__init__(runs[0].id)
        self.runs = runs
        self.why = why
        self.is_done = is_done


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
    keep_early: Callable[[list[Run]], None] | None = None,
) -> list[Run]:
    """Measure one run of each cell, in one process in which their models alternate; return the runs in this order.

    Args:
        plan: of this run, which may be shorter or longer than the request's.
        run_ids: one for each cell; the first is also the process's.
        watch: called after every message with what was collected for the first cell.
        keep_early: called on Ctrl-C with what was received until then, before the rest is fetched: a second Ctrl-C may
            leave no time to keep it.

    Raises:
        BoardBusy: another run still occupies the board after the time that the agent waits.
        ConnectionLost, AgentError, BoardError, KeyboardInterrupt: the run did not begin, as far as is known.
        RunEnded: it ended early, for whatever reason; it is ended on the board, as far as the board can be reached.
    """
    spec, collectors = collectors_of(session, cells, plan, run_ids=run_ids)

    def on_interrupt() -> None:
        if keep_early is not None and collectors[0].has_begun:
            keep_early(partial_runs(collectors, KeyboardInterrupt()))

    try:
        collect_models(session.agent, spec, collectors, watch=watch, on_interrupt=on_interrupt)
    except BaseException as error:
        if isinstance(error, BoardBusy) or not collectors[0].has_begun:
            raise
        if all(collector.is_done for collector in collectors):
            raise RunEnded([collector.run() for collector in collectors], error, is_done=True) from error
        raise RunEnded(partial_runs(collectors, error), error) from error
    runs = [collector.run() for collector in collectors]
    failed = collectors[0].failed
    if failed is not None:
        raise failed_run(session.agent, cells, runs, failed)
    return runs


def collectors_of(
    session: Session, cells: Sequence[Cell], plan: RunPlan, *, run_ids: Sequence[str]
) -> tuple[protocol.RunSpec, list[RunCollector]]:
    """Return what one process is requested to do for these cells, and a collector for each; as `measure_runs`."""
    request = session.request
    specs = [
        run_spec(
            session.agent,
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
    return spec, collectors


def partial_runs(collectors: Sequence[RunCollector], why: BaseException) -> list[Run]:
    """Return what a process had measured when `why` ended it; a run that is not complete never counts."""
    reason = INTERRUPTED
    if isinstance(why, AgentError):
        reason = Reason(ReasonCode.FAILED, "failed: the board reported no valid end")
    return [replace(collector.run(), reasons=(reason,)) for collector in collectors]


#: What differs between the models of one process; all else must be the same.
_OF_A_MODEL = tuple(slot.name for slot in fields(protocol.AlternateModel))


def failed_run(agent: RemoteAgent, cells: Sequence[Cell], runs: Sequence[Run], failed: protocol.Failed) -> RunEnded:
    """Return the runs of a process that failed, each with its reason, and the error that names the models at fault."""
    at_fault = [failed.model] if failed.model is not None else list(range(len(cells)))
    error = run_failure(f"{agent.name}: {' and '.join(cells[number].name for number in at_fault)}", failed)
    reason = Reason(ReasonCode.FAILED, f"failed: {failed.kind}")
    reasons = [reason if number in at_fault else reason.of_partner() for number in range(len(cells))]
    return RunEnded([replace(run, reasons=(why,)) for run, why in zip(runs, reasons, strict=True)], error)
