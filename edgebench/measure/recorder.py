"""The runs of a session: measured on the board, validated, and stored, one process at a time."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from edgebench import ending
from edgebench.analysis import validate_group, with_ratios
from edgebench.board import PowerState
from edgebench.errors import StoreError
from edgebench.measure.alternation import rotation_order
from edgebench.measure.cells import Cell
from edgebench.measure.context import Session
from edgebench.measure.idle_wait import IdleWait
from edgebench.measure.probes.rate_finder import plan_at
from edgebench.measure.progress import progress_reporter
from edgebench.measure.runs import RunEnded, measure_runs
from edgebench.reason import ReasonCode
from edgebench.run import Run
from edgebench.store import import_libraries
from edgebench.workload import RunPlan

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
        import_libraries()
        self.session = session
        self._idle_wait = idle_wait
        self._was_disturbed = False
        self._is_kept_early = False
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
            StoreError: as `keep_runs`.
            EdgebenchError: what was measured until then is stored, as a run that does not count.
        """
        session = self.session
        if self._idle_wait is not None and self._was_disturbed and (busy := self._idle_wait.wait()) is not None:
            session.log(f"{session.agent.name} is still busy, and a run begins all the same: {busy}")
        session.power.apply(row[0].power)
        plan = plan_at(row[0], session.request.plan)
        done = self.runs_of(row[0])
        number = len(done) + 1
        valid = sum(run.valid for run in done)
        order = tuple(rotation_order(row, valid))
        conditions = {**self._idle[row[0].power], **cool_down}

        def keep_early(runs: list[Run]) -> None:
            with suppress(StoreError):  # what is kept in the end is kept the same way, and reports it
                keep_runs(session, list(zip(order, runs, strict=True)))
                self._is_kept_early = True

        self._is_kept_early = False
        with ending.deferred():
            try:
                runs = measure_runs(
                    session,
                    order,
                    plan,
                    run_ids=run_ids(order, number, valid),
                    watch=progress_reporter(session, order[0], number),
                    keep_early=keep_early,
                )
            except RunEnded as ended:
                if ended.is_done:
                    self._keep_valid(row, order, ended.runs, plan, conditions)
                else:
                    keep_runs(session, list(zip(order, ended.runs, strict=True)), replacing=self._is_kept_early)
                raise ended.why from ended
            return self._keep_valid(row, order, runs, plan, conditions)

    def _keep_valid(
        self, row: Row, order: Row, runs: Sequence[Run], plan: RunPlan, conditions: Mapping[str, Any]
    ) -> list[Run]:
        """Validate and store the runs of a process that ended well; return them in the row's order."""
        session = self.session
        validated = validate_group(
            [replace(run, facts=run.facts.adding(conditions)) for run in runs], plan, margin=session.request.margin
        )
        self._was_disturbed = any(reason.code in _DISTURBED for run in validated for reason in run.reasons)
        by_id = dict(zip((cell.subject.id for cell in order), with_ratios(validated), strict=True))
        keep_runs(session, [(cell, by_id[cell.subject.id]) for cell in row], replacing=self._is_kept_early)
        for cell in row:
            self.done[cell.subject.id].append(by_id[cell.subject.id])
        return [by_id[cell.subject.id] for cell in row]


def run_ids(order: Sequence[Cell], number: int, valid: int) -> list[str]:
    """Return an id for the run of each cell of one process: they differ in the cell alone.

    Of cells that alternate, the id ends with `valid`, from which their order follows (`rotation_order`).
    """
    suffix = f"{number:03d}-{secrets.token_hex(2)}" + (f"-{valid}" if len(order) > 1 else "")
    return [f"{cell.subject.id}-{suffix}" for cell in order]


def keep_runs(session: Session, runs: Sequence[tuple[Cell, Run]], *, replacing: bool = False) -> None:
    """Store runs that belong together; `replacing`: as of `Store.add_runs`.

    Raises:
        StoreError: they can't be stored. They stay on the board, from where `resume` takes them.
    """
    try:
        session.store.add_runs([(cell.subject, run) for cell, run in runs], replacing=replacing)
        if (problem := session.store.take_problem()) is not None:
            session.log(f"{problem}; the run is kept on this machine until the store can be reached")
    except StoreError as error:
        names = " and ".join(run.process for run in {run.process: run for _, run in runs}.values())
        raise StoreError(
            f"{error.args[0]}; run {names} is complete on {session.agent.name} as far as it was measured",
            hint="make room, and resume the session: the run is taken from there",
        ) from error
