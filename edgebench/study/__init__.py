"""Studies: a matrix of variants, devices, workloads and tasks, and the questions it answers.

A STUDY.toml comes in; sessions and evaluations that are missing are run, and a StudyReport comes out.
"""

from __future__ import annotations

from edgebench.study.answers import Answer, StudyReport, study_report
from edgebench.study.cells import study_cells
from edgebench.study.file import read_study
from edgebench.study.run import missing_sessions
from edgebench.study.scores import evaluate_pending, pending_evaluations
from edgebench.study.status import StudyStatus, study_status

__all__ = [
    "Answer",
    "StudyReport",
    "StudyStatus",
    "evaluate_pending",
    "missing_sessions",
    "pending_evaluations",
    "read_study",
    "study_cells",
    "study_report",
    "study_status",
]
