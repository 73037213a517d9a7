"""Rates that are searched: the planned runs must confirm what the search found, or are repeated at a lower rate."""

from __future__ import annotations

import time
from collections.abc import Sequence

from edgebench.errors import NotValid
from edgebench.measure.cells import Cell
from edgebench.measure.planned_runs import measure_planned_runs
from edgebench.measure.probes.rate_finder import OutOfTime, RateFinder, searched_id
from edgebench.measure.recorder import RunRecorder


def measure_at_confirmed_rates(recorder: RunRecorder, cells: Sequence[Cell]) -> tuple[list[Cell], list[NotValid]]:
    """Measure the planned runs of all cells; those whose rate is searched, at lower rates until their runs confirm one.

    Returns:
        The cells that were measured, each at its rate, and those for which the budget ended; and an error for each cell
        that no rate suits.
    """
    finders = _RateFinders(recorder, cells)
    measured: list[Cell] = []
    pending = finders.at_rates(cells)
    while pending:
        planned = measure_planned_runs(recorder, pending)
        unconfirmed = finders.unconfirmed(planned, recorder)
        repeated = {cell.subject.id for cell in unconfirmed}
        measured += [cell for cell in planned if cell.subject.id not in repeated]
        pending = finders.at_rates(unconfirmed)
    recorder.add_cells(finders.out_of_time)
    return [*measured, *finders.out_of_time], finders.errors


class _RateFinders:
    """The searches of a session's cells; cells whose rate is given pass as they are."""

    def __init__(self, recorder: RunRecorder, cells: Sequence[Cell]) -> None:
        session = recorder.session
        self._recorder, self._session = recorder, session
        self._finders = {
            cell.subject.id: RateFinder(session, cell) for cell in cells if cell.workload.latency_bound_ms is not None
        }
        self.errors: list[NotValid] = []
        self.out_of_time: list[Cell] = []

    def at_rates(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return the cells at the rates that their runs are to confirm, without those that no rate suits.

        Each search has an equal share of the time that the runs of those before it leave.
        """
        found: list[Cell] = []
        reserved_s = 0.0
        for at, cell in enumerate(cells):
            finder = self._finders.get(searched_id(cell.subject.id))
            if finder is None:
                found.append(cell)
                continue
            left_s = self._left_s()
            share_s = None if left_s is None else (left_s - reserved_s) / (len(cells) - at)
            try:
                found.append(finder.cell(share_s, self._recorder.done))
                reserved_s += finder.confirm_s(found[-1])
            except OutOfTime as ended:
                self.out_of_time.append(ended.cell)
            except NotValid as error:
                self.errors.append(error)
                if len(cells) > 1:
                    self._session.log(f"given up: {error}")
        return found

    def _left_s(self) -> float | None:
        """Return the seconds that the budget leaves; None without one."""
        budget_s = self._session.request.budget_s
        return None if budget_s is None else self._session.started_s + budget_s - time.monotonic()

    def unconfirmed(self, cells: Sequence[Cell], recorder: RunRecorder) -> list[Cell]:
        """Return those of the cells whose runs did not confirm their rate."""
        searched = [(cell, self._finders.get(searched_id(cell.subject.id))) for cell in cells]
        return [cell for cell, finder in searched if finder and not finder.is_confirmed(cell, recorder.runs_of(cell))]
