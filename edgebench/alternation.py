"""Models that alternate: which rows are measured in one process, one inference each in turn, and what that tells.

On a machine that others use, too, a run sees other neighbours than the next one. Two models whose inferences follow
each other see the same, so what they tell of each other is in pairs: the latencies of both for one input, side by side.
What neighbours do for longer than a few inferences is in both, and falls out of their ratio (cf. duet benchmarking,
Bulej et al. 2020, which runs both at once and so needs a core for each).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgebench.errors import ConfigError
from edgebench.measurement import Run, Subject
from edgebench.summary import whole_turns
from edgebench_agent.protocol import MAX_MODELS

if TYPE_CHECKING:
    from edgebench.measuring import Cell
    from edgebench.request import Request


def is_alternating(subject: Subject) -> bool:
    """Whether its runs are of a model that alternated with others."""
    return bool(subject.workload.get("alternating"))


def rows_of(cells: Sequence[Cell], request: Request) -> list[tuple[Cell, ...]]:
    """Return the cells that are measured together: each by itself, unless the request lets models alternate.

    Together are those of one workload under one state of the board, in one runtime: they share a process.

    Raises:
        ConfigError: no two cells could be measured together, or more than a process takes.
    """
    if not request.alternate:
        return [(cell,) for cell in cells]
    together: dict[Any, list[Cell]] = {}
    for cell in cells:
        workload = cell.subject.workload
        runtime = cell.subject.device.get("runtime")
        key = (cell.subject.label, workload.get("threads"), workload.get("batch"), cell.power, runtime)
        together.setdefault(key, []).append(cell)
    rows = [tuple(row) for row in together.values()]
    if all(len(row) < 2 for row in rows):
        raise ConfigError(
            "no two models run in one runtime, so none can alternate; leave --alternate out, or name formats of one "
            "runtime"
        )
    most = max(len(row) for row in rows)
    if most > MAX_MODELS:
        raise ConfigError(f"{most} models can't alternate in one process, {MAX_MODELS} can; leave some out")
    return rows


def marked(cells: Sequence[Cell], request: Request) -> list[Cell]:
    """Return the cells, in their order, those that alternate with others as such.

    Raises:
        ConfigError: as `rows_of`.
    """
    shared = {cell.subject.id for row in rows_of(cells, request) if len(row) > 1 for cell in row}
    return [
        replace(cell, subject=replace(cell.subject, workload={**cell.subject.workload, "alternating": True}))
        if cell.subject.id in shared
        else cell
        for cell in cells
    ]


def in_order(row: Sequence[Cell], number: int) -> list[Cell]:
    """Return in which order the models of a run are loaded and have their turn: in every second one backwards."""
    return list(row) if number % 2 else list(reversed(row))


def with_ratios(runs: Sequence[Run]) -> list[Run]:
    """Return the runs of one process with what each says of the others (see `Run.beside`)."""
    return [replace(run, beside=_ratios(run, runs)) for run in runs]


def _ratios(run: Run, runs: Sequence[Run]) -> dict[str, float]:
    import numpy as np

    found = {}
    mine = whole_turns(run).latencies_ns
    for other in runs:
        theirs = whole_turns(other).latencies_ns
        # A clock too coarse for the model gives zeros, of which there is no ratio.
        if other is run or len(mine) != len(theirs) or not len(mine) or min(mine.min(), theirs.min()) <= 0:
            continue
        found[other.id] = float(np.median(np.log(mine / theirs)))
    return found
