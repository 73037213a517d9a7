"""How far a study is: its cells, the evaluations that are missing, and how long the rest takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgebench.store import Store
from edgebench.study.cells import StudyCell, estimated_remaining_s, study_cells
from edgebench.study.file import Study
from edgebench.study.scores import PendingEvaluation, pending_evaluations
from edgebench.text import counted, printable


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStatus:
    """What the store has of a study, and what is missing.

    estimated_remaining_s: how long the missing cells take, seconds; None where nothing like them was measured.
    """

    study: Study
    cells: tuple[StudyCell, ...]
    pending: tuple[PendingEvaluation, ...]
    estimated_remaining_s: float | None

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
    cells = study_cells(study, store)
    return StudyStatus(
        study=study,
        cells=tuple(cells),
        pending=tuple(pending_evaluations(study, cells, store)),
        estimated_remaining_s=estimated_remaining_s(study, cells),
    )
