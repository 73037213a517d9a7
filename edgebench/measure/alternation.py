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

from edgebench.analysis.passes import complete_passes
from edgebench.board.preflight import providers_for
from edgebench.errors import BoardError, ConfigError
from edgebench.run import Run
from edgebench_agent.protocol import MAX_MODELS

if TYPE_CHECKING:
    from edgebench.measure.runs import Cell
    from edgebench.request import Request


def rows_of(cells: Sequence[Cell], request: Request) -> list[tuple[Cell, ...]]:
    """Return the cells that are measured together: each by itself, unless the request lets models alternate.

    Together are those of one workload under one state of the board, in one runtime on the same providers: they share a
    process.

    Raises:
        ConfigError: no two cells could be measured together, or more than a process takes.
    """
    if not request.alternate:
        return [(cell,) for cell in cells]
    together: dict[Any, list[Cell]] = {}
    for cell in cells:
        workload = cell.subject.workload
        runtime = (cell.subject.device.runtime, *providers_for(request.device, cell.subject.artifact))
        key = (cell.subject.label, workload.get("threads"), workload.get("batch"), cell.power, runtime)
        together.setdefault(key, []).append(cell)
    rows = [tuple(row) for row in together.values()]
    if all(len(row) < 2 for row in rows):
        raise ConfigError(
            "no two models run in one runtime on one provider, so none can alternate; leave --alternate out, or name "
            "formats of one runtime"
        )
    most = max(len(row) for row in rows)
    if most > MAX_MODELS:
        raise ConfigError(f"{most} models can't alternate in one process, {MAX_MODELS} can; leave some out")
    return rows


def tag_alternating(cells: Sequence[Cell], request: Request) -> list[Cell]:
    """Return the cells, in their order, those that alternate with others as such: with the hashes of the row's files.

    Raises:
        ConfigError: as `rows_of`.
        BoardError: the files of a row are larger together than the memory that is free on the board.
    """
    rows = [row for row in rows_of(cells, request) if len(row) > 1]
    for row in rows:
        _require_memory(row)
    files = {cell.subject.id: sorted(each.subject.artifact.sha256 for each in row) for row in rows for cell in row}
    return [_with(cell, files[cell.subject.id]) if cell.subject.id in files else cell for cell in cells]


def _require_memory(row: Sequence[Cell]) -> None:
    device = row[0].subject.device
    available, needed = device.memory_available_bytes, sum(cell.subject.artifact.bytes for cell in row)
    if available is not None and needed > available:
        raise BoardError(
            f"{device.name}: the {len(row)} models that are to alternate are {needed / 1e6:.0f} MB together and "
            f"the board has {available / 1e6:.0f} MB of memory free; leave --alternate out, name fewer models or take "
            f"a smaller format"
        )


def _with(cell: Cell, files: Sequence[str]) -> Cell:
    workload = {**cell.subject.workload, "alternating": list(files)}
    return replace(cell, subject=replace(cell.subject, workload=workload))


def rotation_order(row: Sequence[Cell], runs: int) -> list[Cell]:
    """Return in which order the models are loaded and have their turn, after so many runs that count.

    Every second run goes backwards, and each two begin with another model: nobody follows on the same one always.
    """
    first = runs // 2 % len(row)
    order = [*row[first:], *row[:first]]
    return order[::-1] if runs % 2 else order


def with_ratios(runs: Sequence[Run]) -> list[Run]:
    """Return the runs of one process with what each says of the others (see `Run.log_ratios`)."""
    return [replace(run, log_ratios=_ratios(run, runs)) for run in runs]


def _ratios(run: Run, runs: Sequence[Run]) -> dict[str, float]:
    import numpy as np

    found = {}
    mine = complete_passes(run).trace
    for other in runs:
        theirs = complete_passes(other).trace
        if other is run or not np.array_equal(mine.items, theirs.items):
            continue
        # A clock too coarse for the model gives zeros, of which there is no ratio.
        told = (mine.latencies_ns > 0) & (theirs.latencies_ns > 0)
        if 2 * told.sum() > len(told):
            found[other.id] = float(np.median(np.log(mine.latencies_ns[told] / theirs.latencies_ns[told])))
    return found
