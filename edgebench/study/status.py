"""How far a study is: its cells, the evaluations that are missing, and how long the rest takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgebench.store import Store
from edgebench.study.cells import StudyCell, estimated_remaining_s, study_cells
from edgebench.study.estimate import estimated_scoring_s
from edgebench.study.file import Study
from edgebench.study.scores import PendingEvaluation, pending_evaluations, questions_of_study
from edgebench.text import counted, printable


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStatus:
    """What the store has of a study, and what is missing.

    estimated_remaining_s: how long the rest takes, seconds, measuring and scoring together; None where nothing like it
    was measured. estimated_scoring_s: the part of it that is scoring.
    """

    study: Study
    cells: tuple[StudyCell, ...]
    pending: tuple[PendingEvaluation, ...]
    estimated_remaining_s: float | None
    estimated_scoring_s: float | None = 0.0

    def __repr__(self) -> str:
        done = sum(cell.done for cell in self.cells)
        cells = f"{done} of {counted(len(self.cells), 'cell')} measured"
        return printable(
            f"<StudyStatus {self.study.name}: {cells}, {counted(len(self.pending), 'evaluation')} missing>"
        )

    @property
    def done(self) -> bool:
        """Whether nothing is missing."""
        return not self.pending and all(cell.done for cell in self.cells)

    def to_json(self) -> dict[str, Any]:
        """Return plain values; the names of keys are those of the first version."""
        return {
            "study": self.study.name,
            "parts": [
                {
                    "device": cell.device.name,
                    "workload": cell.workload.label,
                    "done": cell.done,
                    "variants": list(cell.have),
                    "session": cell.session,
                    "took_s": cell.took_s,
                }
                for cell in self.cells
            ],
            "about_s": self.estimated_remaining_s,
            "about_scoring_s": self.estimated_scoring_s,
            "unanswered": [
                {
                    "device": each.device.name,
                    "variant": each.variant.name,
                    "format": str(each.artifact.format),
                    "task": each.task.name,
                    "langs": list(each.langs),
                }
                for each in self.pending
            ],
        }


def study_status(study: Study, store: Store) -> StudyStatus:
    """Return what the store has of a study, whatever files its models are now.

    Raises:
        StoreError: the store can't be read.
        EdgebenchError: the data of a task can't be read.
    """
    cells, questions = study_cells(study, store), questions_of_study(study)
    pending = pending_evaluations(study, cells, store, questions)
    measuring_s = estimated_remaining_s(study, cells)
    scoring_s = estimated_scoring_s(study, cells, pending, questions, store)
    return StudyStatus(
        study=study,
        cells=tuple(cells),
        pending=tuple(pending),
        estimated_remaining_s=None if measuring_s is None or scoring_s is None else measuring_s + scoring_s,
        estimated_scoring_s=scoring_s,
    )
