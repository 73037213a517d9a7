"""Simulated boards on a bench: the whole way of a task, with latencies that are drawn and waits that are real.

For tests and benchmarks, as `edgebench.testing` is. What these runs store says that the board is simulated.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgebench.benches.child import prepared_files
from edgebench.benches.task import DONE, INTERRUPTED, CellResult, CellTask
from edgebench.device import Device
from edgebench.errors import StoreError
from edgebench.facts import DeviceFacts
from edgebench.measure import Prepared
from edgebench.measurement import Subject
from edgebench.request import Request, request_to_json
from edgebench.store import Store, open_store
from edgebench.testing import SimulatedBoard


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedBoards:
    """Measures cells on boards that draw latencies.

    Args:
        pace: seconds that are waited for each second that a board takes; 0: none.
        typical_ms: a latency of the boards.
        pause_s: between runs, for the start, the load and the warm-up.
    """

    pace: float = 1.0
    typical_ms: float = 2.0
    pause_s: float = 0.1

    def __call__(
        self,
        task: CellTask,
        device: Device,
        *,
        bench: str,
        report: Callable[[Mapping[str, Any]], None],
        interrupted: threading.Event,
    ) -> CellResult:
        """Measure a cell, or what is missing of it.

        Raises:
            StoreError: the store lacks a file, or can't be written.
        """
        store, request = open_store(task.store), task.request_on(device)
        rows = prepared_files(task, request, store, bench=bench)
        subjects = [_subject(row, number, task.session, request) for number, row in enumerate(rows)]
        if task.session not in store.sessions():
            store.write_session(task.session, request_to_json(request))
        report({"kind": "session", "session": task.session})
        seed = int.from_bytes(hashlib.sha256(task.session.encode()).digest()[:4])
        board = SimulatedBoard(seed=seed, typical_ms=self.typical_ms, pause_s=self.pause_s)
        for number in range(1, request.plan.runs + 1):
            for subject in subjects:
                if not self._measure(board, store, subject, number, request, interrupted):
                    return CellResult(state=INTERRUPTED, bench=bench, session=task.session)
        return CellResult(state=DONE, bench=bench, session=task.session, measured=request.plan.runs * len(subjects))

    def _measure(
        self,
        board: SimulatedBoard,
        store: Store,
        subject: Subject,
        number: int,
        request: Request,
        interrupted: threading.Event,
    ) -> bool:
        """Measure and store one run, unless the store has it; return False where it was interrupted."""
        began_s = board.now_s
        run = board.run(subject, number, count=request.plan.min_count)
        if store.has_run(run.id):
            return True
        if interrupted.wait((board.now_s - began_s) * self.pace):
            return False
        try:
            store.add_run(subject, run)
        except StoreError:
            if not store.has_run(run.id):  # else another bench that had the task has just stored it
                raise
        return True


def _subject(row: Prepared, number: int, session: str, request: Request) -> Subject:
    return Subject(
        id=f"{session}-{number:03d}",
        session=session,
        variant=row.variant,
        artifact=row.artifact,
        device=DeviceFacts(
            name=request.device.name,
            profile=request.device.profile.name,
            runtime=row.artifact.format.runtime,
            model="simulated board",
        ),
        workload=row.workload.to_json(),
        label=row.workload.label,
        planned_runs=request.plan.runs,
        seed=request.seed,
    )
