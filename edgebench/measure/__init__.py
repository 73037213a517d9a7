"""One session on one board: a Request comes in; runs go to the store, and Measurements come out.

`session` tells the story. `probes` are the runs that do not count: idle power, overhead, cold start, operators, rates.
"""

from __future__ import annotations

from edgebench.measure.collect import RunCollector, collect_run
from edgebench.measure.extension import extend, request_to_extend
from edgebench.measure.idle_wait import IdleWait, idle_wait_of
from edgebench.measure.inputs import encode, resolve_workload
from edgebench.measure.parallel import BoardResult, Measure, run_sessions
from edgebench.measure.plan import plan_export, planned_board
from edgebench.measure.predictions import predict_on, report_memory
from edgebench.measure.preparation import Prepared, prepare, refuse_plain_checkpoints
from edgebench.measure.probes import measure_overhead
from edgebench.measure.profiling import profile
from edgebench.measure.progress import PROGRESS_EVERY_S
from edgebench.measure.runs import run_spec
from edgebench.measure.scores import scores_for
from edgebench.measure.session import profile_all, resume, run_session

__all__ = [
    "PROGRESS_EVERY_S",
    "BoardResult",
    "IdleWait",
    "Measure",
    "Prepared",
    "RunCollector",
    "collect_run",
    "encode",
    "extend",
    "idle_wait_of",
    "measure_overhead",
    "plan_export",
    "planned_board",
    "predict_on",
    "prepare",
    "profile",
    "profile_all",
    "refuse_plain_checkpoints",
    "report_memory",
    "request_to_extend",
    "resolve_workload",
    "resume",
    "run_session",
    "run_sessions",
    "run_spec",
    "scores_for",
]
