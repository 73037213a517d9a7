"""Studies: the matrix of variants, formats, devices, workloads and tasks of a STUDY.toml, and the contrasts in it.

A STUDY.toml and a store go in; sessions that measure the missing cells, a status, and a report come out.
"""

from __future__ import annotations

from edgebench.study.answers import Answer, StudyReport, study_report
from edgebench.study.bench_status import StudyBenchStatus, study_bench_status
from edgebench.study.cells import study_cells
from edgebench.study.file import Study, read_study
from edgebench.study.on_benches import run_cells_on_benches
from edgebench.study.run import missing_sessions, run_study
from edgebench.study.scores import evaluate_pending, pending_evaluations, within_reach
from edgebench.study.status import StudyStatus, study_status
from edgebench.study.stored import read_study_of

__all__ = [
    "Answer",
    "Study",
    "StudyBenchStatus",
    "StudyReport",
    "StudyStatus",
    "evaluate_pending",
    "missing_sessions",
    "pending_evaluations",
    "read_study",
    "read_study_of",
    "run_cells_on_benches",
    "run_study",
    "study_bench_status",
    "study_cells",
    "study_report",
    "study_status",
    "within_reach",
]
