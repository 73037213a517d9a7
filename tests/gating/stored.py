"""A store with measurements of real files that no board ran: for what a gate reads before it measures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgebench import Store
from edgebench.artifact import Artifact, ArtifactFile, Format, hash_file
from edgebench.gating.metrics import Metric
from edgebench.gating.result import BudgetResult, GateResult, GateSession, GateSide
from edgebench.gating.rules import GateVerdict, together
from edgebench.gating.sentences import gate_sentence
from tests.sample_runs import MS, run, subject, trace


def add(
    store: Store, file: Path, *, session: str = "20260101T000000-aaaaaa", number: int = 0, **changes: object
) -> str:
    """Keep a measurement of a file, on this machine; return its id. `changes`: of its Subject."""
    if not file.is_file():
        file.write_bytes(file.name.encode())
    artifact = Artifact(
        format=Format.ONNX,
        files=(ArtifactFile(name=file.name, sha256=hash_file(file), bytes=file.stat().st_size),),
        path=file.parent,
    )
    of = replace(
        subject(number, device="local", name=file.stem, source=str(file)),
        artifact=artifact,
        session=session,
        id=f"{session}-{number:03d}",
    )
    of = replace(of, **changes)  # type: ignore[arg-type]
    store.add_runs([(of, run(of, at, trace([10 * MS] * 20))) for at in range(of.planned_runs)])
    return of.id


def found(result: str = "pass", **changes: object) -> BudgetResult:
    """Return what a budget of 3 % latency says."""
    values = BudgetResult(
        metric=Metric.LATENCY,
        workload="128 tok",
        against="main",
        result=GateVerdict(result),
        value=10.02,
        baseline_value=10.0,
        unit="ms",
        ratio=1.002,
        upper_bound=1.011,
        interval=(0.993, 1.0115),
        level=0.981,
        margin=0.03,
        detectable=0.016,
        runs=(6, 6),
    )
    return replace(values, **changes)  # type: ignore[arg-type]


def gate_result(*budgets: BudgetResult, anchored: tuple[BudgetResult, ...] = (), **changes: object) -> GateResult:
    """Return a result of these budgets."""
    side = GateSide(name="main", variant="xnli", format="onnx-int8", artifact_sha256="a" * 64, bytes=1000)
    candidate = replace(side, name="new", variant="new", artifact_sha256="b" * 64)
    result = GateResult(
        id="20260101T000000-aaaaaa",
        started_at="2026-01-01T00:00:00.000+00:00",
        result=together(each.result for each in (*budgets, *anchored)),
        sentence=gate_sentence(budgets, anchored, candidate="new", mode="alternating"),
        sessions=(
            GateSession(
                id="20260101T000000-aaaaaa", purpose="decide", mode="alternating", runs={"baseline": 6, "candidate": 6}
            ),
        ),
        device={
            **dict.fromkeys(("model", "arch", "cpu", "runtime", "runtime_version", "virtual", "serial_hash")),
            "name": "pi4",
            "cores": 4,
            "memory_bytes": 4 * 10**9,
        },
        baseline=side,
        candidate=candidate,
        budgets=budgets,
        anchor=replace(side, name="release v1.2", artifact_sha256="c" * 64) if anchored else None,
        anchor_budgets=anchored,
    )
    return replace(result, **changes)  # type: ignore[arg-type]
