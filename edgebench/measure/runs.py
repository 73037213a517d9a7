"""One run on the board, from its specification to its last message."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime

from edgebench.artifact import Artifact
from edgebench.board.agent import RemoteAgent
from edgebench.board.archive import agent_archive
from edgebench.board.journal import Position, failure
from edgebench.board.power import AS_FOUND, PowerState
from edgebench.board.preflight import model_files, providers_for, runtime_of
from edgebench.errors import BoardBusy, EdgebenchError
from edgebench.measure.collect import RunCollector
from edgebench.measurement import Subject
from edgebench.reason import Reason, ReasonCode
from edgebench.request import Request
from edgebench.run import Run
from edgebench.workload import EncodedInputs, RunPlan, Workload
from edgebench_agent import protocol

#: Inferences of a run; of a sustained one, an hour of half a millisecond each.
_MOST, _MOST_SUSTAINED = 1 << 18, 1 << 23
LEASE_NS = 600 * 1_000_000_000  # a run that nobody renews ends after ten minutes
INTERRUPTED = Reason(ReasonCode.INTERRUPTED, "interrupted before its end")


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of the table to come: what is measured, and with which inputs."""

    subject: Subject
    workload: Workload
    inputs: EncodedInputs
    power: PowerState = AS_FOUND


class RunEnded(Exception):
    """A process ended before its time; `runs`: what it had measured, `why`: what is to be raised once that is kept."""

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
) -> protocol.RunSpec:
    """Return the specification of a run over inputs that are on the board already.

    `plan` None: each input once, and the outputs are kept. `runtime`: as for `preflight`.
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
        seed=zlib.crc32(run_id.encode()),  # other arrivals in every run
    )


def measure_run(
    agent: RemoteAgent,
    cell: Cell,
    request: Request,
    plan: RunPlan,
    *,
    run_id: str,
    watch: Callable[[RunCollector], None],
) -> Run:
    """Measure one run from launch to its last message; `watch` gets what was collected whenever something came.

    `plan`: of this run, which may be shorter or longer than what the request asks for.

    Raises:
        As `measure_runs`.
    """
    return measure_runs(agent, [cell], request, plan, run_ids=[run_id], watch=watch)[0]


def measure_runs(
    agent: RemoteAgent,
    cells: Sequence[Cell],
    request: Request,
    plan: RunPlan,
    *,
    run_ids: Sequence[str],
    watch: Callable[[RunCollector], None],
) -> list[Run]:
    """Measure a run of each cell in one process, in which their models alternate; return the runs in this order.

    `watch` gets what was collected of the first one. `run_ids`: of each cell; the first is that of the process, too.

    Raises:
        BoardBusy: another run is measuring there, for longer than the agent has patience.
        ConnectionLost, AgentError, BoardError: the run is ended on the board, as far as it can be reached.
        RunEnded: interrupted, or the board failed at it.
    """
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
        )
        for cell in cells
    ]
    spec = replace(specs[0], beside=[{name: getattr(each, name) for name in _BESIDE} for each in specs[1:]])
    archive = agent_archive()[1]

    def measure_once() -> list[Run]:
        collectors = [
            RunCollector(part, started_at=_now(), agent_sha256=archive, id=id, model=number, models=len(specs))
            for number, (part, id) in enumerate(zip(spec.parts(), run_ids, strict=True))
        ]
        _collect(agent, spec, collectors, watch, [_named(cell) for cell in cells])
        return [collector.run() for collector in collectors]

    return agent.patiently(measure_once)


#: What differs between the models of one process; all else is the same, or they would not share one.
_BESIDE = tuple(slot.name for slot in fields(protocol.Beside))


def _named(cell: Cell) -> str:
    return f"{cell.subject.variant.name} {cell.subject.artifact.format}"


def _collect(
    agent: RemoteAgent,
    spec: protocol.RunSpec,
    collectors: Sequence[RunCollector],
    watch: Callable[[RunCollector], None],
    names: Sequence[str],
) -> None:
    run_id, position = spec.run_id, Position()
    try:
        agent.launch(spec)
        for entry in agent.follow(run_id, position=position):
            for collector in collectors:
                collector.take(entry)
            watch(collectors[0])
    except BoardBusy:
        raise
    except KeyboardInterrupt as interrupt:
        for entry in agent.stop(run_id, position=position):
            for collector in collectors:
                collector.take(entry)
        raise RunEnded([replace(each.run(), reasons=(INTERRUPTED,)) for each in collectors], interrupt) from interrupt
    except EdgebenchError:
        agent.stop(run_id, position=position)
        raise
    failed = collectors[0].failed
    if failed is not None:
        at_fault = [failed.model] if failed.model is not None else range(len(names))
        error = failure(f"{agent.name}: {' and '.join(names[number] for number in at_fault)}", failed)
        reason = Reason(ReasonCode.FAILED, f"failed: {failed.kind}")
        reasons = [reason if number in at_fault else reason.of_partner() for number in range(len(names))]
        runs = [replace(each.run(), reasons=(why,)) for each, why in zip(collectors, reasons, strict=True)]
        raise RunEnded(runs, error)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
