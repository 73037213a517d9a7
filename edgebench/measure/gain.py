"""What tuning gains: the chosen setting and the board as found, measured again in runs that had no part in the choice.

The fastest of several settings is partly the luckiest: its own runs would promise too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgebench.analysis import again_id, setting_text, summarise, tuned
from edgebench.facts import Tuning
from edgebench.measure.cells import Cell
from edgebench.measure.planned_runs import measure_planned_runs
from edgebench.measure.recorder import RunRecorder


def measure_gain(recorder: RunRecorder, cells: Sequence[Cell]) -> list[Cell]:
    """Measure the setting that a tuned session chose and the board as found again, interleaved.

    Returns:
        Their cells, under ids of their own; none where nothing was tuned, or where there is nothing to compare.
    """
    session = recorder.session
    in_order = sorted(cells, key=lambda cell: cell.subject.id)
    chosen = tuned(
        [summarise(cell.subject, recorder.runs_of(cell)) for cell in in_order], margin=session.request.margin
    )
    if chosen is None or chosen.best is None or chosen.best is chosen.found or not chosen.found.valid:
        return []
    wanted = [chosen.found.id, chosen.best.id]
    again = [_again(cell) for id in wanted for cell in in_order if cell.subject.id == id]
    session.log(f"measuring {setting_text(chosen.best)} and the setting before tuning again, for the gain")
    return measure_planned_runs(recorder, again)


def _again(cell: Cell) -> Cell:
    subject = cell.subject
    tuning = replace(subject.device.tune or Tuning(), measured_again=True)
    device = replace(subject.device, tune=tuning)
    return replace(
        cell, subject=replace(subject, id=again_id(subject.id), device=device, label=f"{subject.label}, again")
    )
