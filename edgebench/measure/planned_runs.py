"""The planned runs of some cells: timed by pilots, fitted into the budget, then measured in an interleaved order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from edgebench.analysis import NOT_DECIDED, compare_rows, summarise
from edgebench.events import Ended, Planned
from edgebench.measure.alternation import rows_of
from edgebench.measure.budget import Cost, Timetable, describe_budget, fit_into
from edgebench.measure.cells import Cell
from edgebench.measure.context import Session
from edgebench.measure.cooling import cool_down_of
from edgebench.measure.feasibility import refuse_unreachable
from edgebench.measure.pilots import measure_pilots
from edgebench.measure.recorder import RunRecorder
from edgebench.measure.scheduler import RunScheduler
from edgebench.request import Request


def measure_planned_runs(recorder: RunRecorder, cells: Sequence[Cell]) -> list[Cell]:
    """Measure the planned runs of these cells, interleaved, as far as they are missing; return the cells as planned.

    Raises:
        RunFailed: of the first row whose own file or inputs are at fault, after all others were measured.
        UsageError: not even the smallest plan fits into the budget, or runs would end with too few inferences to count.
    """
    session = recorder.session
    is_resumed = any(recorder.done.values())
    recorder.add_cells(cells)
    rows = rows_of(cells, session.request)
    costs = measure_pilots(session, rows, recorder.missing(rows, session.request.looks[-1]))
    if not is_resumed:  # the runs of a resumed session are planned already
        _fit_into_budget(session, costs)
    refuse_unreachable(session.request.plan, rows, costs)
    looks = session.request.looks
    planned = [replace(cell, subject=replace(cell.subject, planned_runs=looks[0], looks=len(looks))) for cell in cells]
    _PlannedRuns(recorder, planned, costs).measure_all()
    return planned


def _fit_into_budget(session: Session, costs: Sequence[Cost | None]) -> None:
    """Reduce the session's plan so that it fits into the budget, if it has one."""
    requested = session.request
    if requested.budget_s is None or requested.searches_rate:
        return  # the search of a rate keeps the budget by itself: fewer queries would confirm none
    session.request = fit_into(
        requested, [*costs, *_costs_of_gain(requested, costs)], spent_s=time.monotonic() - session.started_s
    )
    if any(costs):
        session.log(describe_budget(requested, session.request, costs))
    session.save_request()


def _costs_of_gain(request: Request, costs: Sequence[Cost | None]) -> list[Cost]:
    """Return what a tuned session measures again after it chose: two settings, at most the dearest ones."""
    known = [cost for cost in costs if cost is not None] if request.tune else []
    return sorted(known, key=lambda cost: cost.seconds(request.plan))[-2:] if len(known) > 1 else []


class _PlannedRuns:
    """The runs of some cells whose plan is fixed."""

    def __init__(self, recorder: RunRecorder, cells: Sequence[Cell], costs: Sequence[Cost | None]) -> None:
        session = recorder.session
        self._recorder = recorder
        self._session = session
        self._cells = cells
        self._rows = rows_of(cells, session.request)
        budget_s = session.request.budget_s
        deadline_s = session.started_s + budget_s if budget_s is not None else None
        self._timetable = Timetable(session.request.plan, costs, deadline_s)
        self._cool_down = cool_down_of(session.agent, session.request, session.on_event)

    def measure_all(self) -> None:
        """Announce the plan, then measure until the last look, or until every comparison is decided."""
        request = self._session.request
        self._announce()
        RunScheduler(
            subjects=tuple(row[0].subject for row in self._rows),
            done=self._recorder.done,
            looks=request.looks,
            repeats=request.plan.sustained_min is None,
            seed=request.seed or 0,
            measure=self._measure,
            is_decided=self._is_decided,
            has_time=self._has_time,
            on_event=self._session.on_event,
        ).run()

    def _announce(self) -> None:
        looks = self._session.request.looks
        first, last = self._missing(looks[0]), self._missing(looks[-1])
        subjects = tuple(cell.subject for cell in self._cells)
        runs = sum(count * len(row) for count, row in zip(last, self._rows, strict=True))
        left_s = self._timetable.left_s
        self._session.on_event(Planned(self._session.id, subjects, runs, left_s(first), left_s(last)))

    def _measure(self, index: int) -> None:
        row, looks = self._rows[index], self._session.request.looks
        spare_s = self._timetable.spare_s(self._missing(looks[0]))
        began_s = time.monotonic()
        cool_down = self._cool_down.wait(at_most_s=spare_s)
        runs = self._recorder.measure(row, cool_down)
        self._timetable.ended(index, time.monotonic() - began_s)
        next_look = next((missing for look in looks if any(missing := self._missing(look))), [])
        for cell, run in zip(row, runs, strict=True):
            self._session.on_event(Ended(cell.subject, run, self._timetable.left_s(next_look)))

    def _missing(self, runs: int) -> list[int]:
        return self._recorder.missing(self._rows, runs)

    def _has_time(self, index: int) -> bool:
        """Whether one more run of a row fits, in addition to what the other rows need up to the first look."""
        missing = self._missing(self._session.request.looks[0])
        missing[index] = 0
        spare_s = self._timetable.spare_s(missing)
        return spare_s is None or spare_s >= (self._timetable.run_s(index) or 0.0)

    def _is_decided(self) -> bool:
        """Whether the session's own rule, or else every comparison with the first row of its workload, is decided."""
        measured = [summarise(cell.subject, self._recorder.runs_of(cell)) for cell in self._cells]
        if self._session.is_decided is not None:
            return self._session.is_decided(measured)
        compared = compare_rows(measured, margin=self._session.request.margin)
        for comparison in compared:
            self._session.log(comparison.verdict)
        return all(comparison.outcome not in ("inconclusive", NOT_DECIDED) for comparison in compared)
