"""Cells: the rows of a session's result table, each one artifact under one workload in one power state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgebench.board import AS_FOUND, PowerState, runtime_of
from edgebench.measure.preparation import Prepared
from edgebench.measure.sweep import Condition, settings_of
from edgebench.measurement import Subject, Truncation
from edgebench.request import Request
from edgebench.workload import EncodedInputs, RunPlan, Workload


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of the result table: what is measured, with which inputs, in which state of the board's power."""

    subject: Subject
    workload: Workload
    inputs: EncodedInputs
    power: PowerState = AS_FOUND

    @property
    def name(self) -> str:
        """The variant and the format, for messages."""
        return f"{self.subject.variant.name} {self.subject.artifact.format}"


def cells_of(
    prepared: Sequence[Prepared], conditions: Sequence[Condition], request: Request, *, session: str
) -> list[Cell]:
    """Return a cell for each prepared row in each power state and setting; ids number them within the session."""
    minutes = request.plan.sustained_min
    rows = [
        (row, condition, setting)
        for row in prepared
        for condition in conditions
        for setting in settings_of(row.workload, request, condition)
    ]
    cells = []
    for number, (row, condition, workload) in enumerate(rows):
        subject = Subject(
            id=f"{session}-{number:03d}",
            session=session,
            variant=row.variant,
            artifact=row.artifact,
            device=condition.facts[runtime_of(row.artifact, request.runtime)],
            workload=workload.to_json() | _sustained(request.plan),
            label=workload.label + (f" {minutes:g} min" if minutes is not None else ""),
            planned_runs=request.looks[0],
            looks=len(request.looks),
            seed=request.seed,
            truncated=_truncated(row),
            extends=f"{request.extends}-{number:03d}" if request.extends is not None else None,
        )
        cells.append(Cell(subject, workload, row.inputs, condition.power))
    return cells


def _truncated(row: Prepared) -> Truncation | None:
    if not row.inputs.truncated:
        return None
    return Truncation(
        inputs=row.inputs.truncated, of=len(row.inputs.lengths), to_tokens=int(row.inputs.lengths.max(initial=0))
    )


def _sustained(plan: RunPlan) -> dict[str, Any]:
    """Return what a sustained plan adds to a workload: its results are of another kind, never compared with others."""
    return {"sustained_min": plan.sustained_min} if plan.sustained_min is not None else {}
