"""One run on the board, from its specification to its last message."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from edgebench.agent_archive import agent_archive
from edgebench.artifact import Artifact
from edgebench.collect import RunCollector
from edgebench.errors import BoardBusy, EdgebenchError
from edgebench.following import Position, failure
from edgebench.measurement import Run, Subject
from edgebench.power import AS_FOUND, PowerState
from edgebench.preflight import model_files, providers_for, runtime_of
from edgebench.remote_agent import RemoteAgent
from edgebench.request import Request
from edgebench.workload import EncodedInputs, RunPlan, Workload
from edgebench_agent import protocol

#: Inferences of a run; of a sustained one, an hour of half a millisecond each.
_MOST, _MOST_SUSTAINED = 1 << 18, 1 << 23
LEASE_NS = 600 * 1_000_000_000  # a run that nobody renews ends after ten minutes
INTERRUPTED = "interrupted before its end"


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of the table to come: what is measured, and with which inputs."""

    subject: Subject
    workload: Workload
    inputs: EncodedInputs
    power: PowerState = AS_FOUND


class RunEnded(Exception):
    """A run ended before its time; `run` is what it had measured, `why` what is to be raised once that is kept."""

    def __init__(self, run: Run, reason: str, why: BaseException) -> None:
        super().__init__(run.id)
        self.run = run
        self.reason = reason
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
        BoardBusy: another run is measuring there, for longer than the agent has patience.
        ConnectionLost, AgentError, BoardError: the run is ended on the board, as far as it can be reached.
    """
    artifact = cell.subject.artifact
    spec = run_spec(
        agent,
        artifact,
        cell.workload,
        cell.inputs,
        run_id=run_id,
        providers=providers_for(request.device, artifact),
        plan=plan,
        runtime=request.runtime,
    )
    return agent.patiently(lambda: _measure_once(agent, cell, spec, watch))


def _measure_once(agent: RemoteAgent, cell: Cell, spec: protocol.RunSpec, watch: Callable[[RunCollector], None]) -> Run:
    run_id = spec.run_id
    collector = RunCollector(spec, started_at=_now(), agent_sha256=agent_archive()[1])
    position = Position()
    try:
        agent.launch(spec)
        for entry in agent.follow(run_id, position=position):
            collector.take(entry)
            watch(collector)
    except BoardBusy:
        raise
    except KeyboardInterrupt as interrupt:
        for entry in agent.stop(run_id, position=position):
            collector.take(entry)
        raise RunEnded(collector.run(), INTERRUPTED, interrupt) from interrupt
    except EdgebenchError:
        agent.stop(run_id, position=position)
        raise
    if collector.failed is not None:
        failed = failure(f"{agent.name}: {cell.subject.variant.name} {cell.subject.artifact.format}", collector.failed)
        raise RunEnded(collector.run(), f"failed: {collector.failed.kind}", failed)
    return collector.run()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
