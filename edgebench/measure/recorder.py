"""The runs of a session: measured on the board, validated, and stored, one process at a time."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from edgebench.analysis import validate_group, with_ratios
from edgebench.board import PowerState
from edgebench.measure.alternation import rotation_order
from edgebench.measure.cells import Cell
from edgebench.measure.context import Session
from edgebench.measure.idle_wait import IdleWait
from edgebench.measure.probes.rate_finder import plan_at
from edgebench.measure.progress import progress_reporter
from edgebench.measure.runs import RunEnded, measure_runs
from edgebench.reason import ReasonCode
from edgebench.run import Run

_DISTURBED = (ReasonCode.OTHERS_WORKED, ReasonCode.STOLEN)
#: The cells whose models alternate in one process; of most sessions, one.
Row = tuple[Cell, ...]


class RunRecorder:
    """Measures runs and keeps them, in the store and in `done`.

    Args:
        idle: facts about the board's idle power that each run keeps, by power state.
        done: the runs that the store has already, by the id of their subject.
        idle_wait: waits for a quiet board after a run that was disturbed; None: nobody asked for it.
    """

    def __init__(
        self,
        session: Session,
        idle: Mapping[PowerState, Mapping[str, Any]],
        done: Mapping[str, Sequence[Run]],
        idle_wait: IdleWait | None = None,
    ) -> None:
        self.session = session
        self._idle_wait = idle_wait
        self._was_disturbed = False
        self._idle = idle
        self.done: dict[str, list[Run]] = {id: list(runs) for id, runs in done.items()}

    def add_cells(self, cells: Sequence[Cell]) -> None:
        """Make room for the runs of these cells."""
        for cell in cells:
            self.done.setdefault(cell.subject.id, [])

    def runs_of(self, cell: Cell) -> Sequence[Run]:
        """Return the runs of a cell so far, valid or not."""
        return self.done[cell.subject.id]

    def missing(self, rows: Sequence[Row], runs: int) -> list[int]:
        """Return how many valid runs each row lacks of this number."""
        return [max(0, runs - sum(run.valid for run in self.runs_of(row[0]))) for row in rows]

    def measure(self, row: Row, cool_down: Mapping[str, Any]) -> list[Run]:
        """Measure, validate and store one run of each of the row's cells; return the runs in the row's order.

        Args:
            cool_down: facts about the wait before this run.

        Raises:
            RunFailed: the model, its inputs or its runtime are at fault; what was measured is stored.
            KeyboardInterrupt: what was measured is stored.
            EdgebenchError: as `measure_runs`.
        """
        session = self.session
        if self._idle_wait is not None and self._was_disturbed and (busy := self._idle_wait.wait()) is not None:
            session.log(f"{session.agent.name} is still busy, and a run begins all the same: {busy}")
        session.power.apply(row[0].power)
        plan = plan_at(row[0], session.request.plan)
        done = self.runs_of(row[0])
        number = len(done) + 1
        order = rotation_order(row, sum(run.valid for run in done))
        try:
            runs = measure_runs(
                session,
                order,
                plan,
                run_ids=[f"{cell.subject.id}-{number:03d}-{secrets.token_hex(2)}" for cell in order],
                watch=progress_reporter(session, order[0], number),
            )
        except RunEnded as ended:
            session.store.add_runs([(cell.subject, run) for cell, run in zip(order, ended.runs, strict=True)])
            raise ended.why from ended
        conditions = {**self._idle[row[0].power], **cool_down}
        validated = validate_group(
            [replace(run, facts=run.facts.adding(conditions)) for run in runs], plan, margin=session.request.margin
        )
        self._was_disturbed = any(reason.code in _DISTURBED for run in validated for reason in run.reasons)
        by_id = dict(zip((cell.subject.id for cell in order), with_ratios(validated), strict=True))
        session.store.add_runs([(cell.subject, by_id[cell.subject.id]) for cell in row])
        for cell in row:
            self.done[cell.subject.id].append(by_id[cell.subject.id])
        return [by_id[cell.subject.id] for cell in row]
