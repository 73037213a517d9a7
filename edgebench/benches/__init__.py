"""Benches: hosts that offer their boards to studies through a scheduler of dask.

In: cells to measure, each a task of plain JSON that names a device and never says where it is. Out: runs in the store
that the task names, and a result in JSON. A bench looks the device up in its own edgebench.toml. `start_bench` is the
bench's side, `connect_benches` the client's; `child` measures one cell in a process of its own.
"""

from __future__ import annotations

from edgebench.benches.activity import Activity, bench_activities
from edgebench.benches.bench import Bench, boards_of_settings, start_bench
from edgebench.benches.client import BenchClient, CellOutcome, connect_benches
from edgebench.benches.offers import Offer, offered_boards
from edgebench.benches.scheduler import LOCAL_EXECUTOR, Scheduler, read_executor
from edgebench.benches.task import CellFile, CellResult, CellTask, task_key

__all__ = [
    "LOCAL_EXECUTOR",
    "Activity",
    "Bench",
    "BenchClient",
    "CellFile",
    "CellOutcome",
    "CellResult",
    "CellTask",
    "Offer",
    "Scheduler",
    "bench_activities",
    "boards_of_settings",
    "connect_benches",
    "offered_boards",
    "read_executor",
    "start_bench",
    "task_key",
]
