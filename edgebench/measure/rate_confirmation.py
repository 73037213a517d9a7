"""Rates that are searched: the planned runs must confirm what the search found, or are repeated at a lower rate."""

from __future__ import annotations

from collections.abc import Sequence

from edgebench.errors import NotValid
from edgebench.measure.cells import Cell
from edgebench.measure.context import Session
from edgebench.measure.planned_runs import measure_planned_runs
from edgebench.measure.probes.rate_finder import RateFinder, searched_id
from edgebench.measure.recorder import RunRecorder


def measure_at_confirmed_rates(recorder: RunRecorder, cells: Sequence[Cell]) -> tuple[list[Cell], list[NotValid]]:
    """Measure the planned runs of all cells; those whose rate is searched, at lower rates until their runs confirm one.

    Returns:
        The cells that were measured, each at its rate; and an error for each cell that no rate suits.
    """
    finders = _RateFinders(recorder.session, cells)
    measured: list[Cell] = []
    pending = finders.at_rates(cells)
    while pending:
        planned = measure_planned_runs(recorder, pending)
        unconfirmed = finders.unconfirmed(planned, recorder)
        repeated = {cell.subject.id for cell in unconfirmed}
        measured += [cell for cell in planned if cell.subject.id not in repeated]
        pending = finders.at_rates(unconfirmed)
    return measured, finders.errors


class _RateFinders:
    """The searches of a session's cells; cells whose rate is given pass as they are."""

    def __init__(self, session: Session, cells: Sequence[Cell]) -> None:
        self._session = session
        self._finders = {
            cell.subject.id: RateFinder(session, cell) for cell in cells if cell.workload.latency_bound_ms is not None
        }
        self.errors: list[NotValid] = []

    def at_rates(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return the cells at the rates that their runs are to confirm, without those that no rate suits."""
        found = []
        for cell in cells:
            finder = self._finders.get(searched_id(cell.subject.id))
            try:
                found.append(cell if finder is None else finder.cell())
            except NotValid as error:
                self.errors.append(error)
                if len(cells) > 1:
                    self._session.log(f"given up: {error}")
        return found

    def unconfirmed(self, cells: Sequence[Cell], recorder: RunRecorder) -> list[Cell]:
        """Return those of the cells whose runs did not confirm their rate."""
        searched = [(cell, self._finders.get(searched_id(cell.subject.id))) for cell in cells]
        return [cell for cell, finder in searched if finder and not finder.is_confirmed(cell, recorder.runs_of(cell))]
