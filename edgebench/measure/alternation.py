"""Alternating models: measured in one process, one inference of each after the other, and compared pair by pair.

On a machine with other users, two runs have different neighbours. Two models that alternate have the same ones, so
their latencies for one input form a pair. What neighbours do for longer than a few inferences slows both models down
and cancels in their ratio (cf. duet benchmarking, Bulej et al. 2020, which runs both at once and so needs a core for
each).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgebench.board import providers_for
from edgebench.errors import BoardError, ConfigError
from edgebench_agent.protocol import MAX_MODELS

if TYPE_CHECKING:
    from edgebench.measure.cells import Cell
    from edgebench.request import Request


def rows_of(cells: Sequence[Cell], request: Request) -> list[tuple[Cell, ...]]:
    """Return the cells that share a process: each cell alone, unless the request lets models alternate.

    Cells that alternate have the same workload, power state, runtime and providers.

    Raises:
        ConfigError: models are to alternate and no two cells can, or more than a process takes.
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
            "no two models run in one runtime on one provider, so none can alternate",
            hint="leave `alternate` out, or name formats of one runtime",
        )
    most = max(len(row) for row in rows)
    if most > MAX_MODELS:
        raise ConfigError(f"{most} models can't alternate in one process, {MAX_MODELS} can", hint="leave some out")
    return rows


def tag_alternating(cells: Sequence[Cell], request: Request) -> list[Cell]:
    """Return the cells in the same order; those that alternate get the hashes of their row's model files.

    Raises:
        ConfigError: as `rows_of`.
        BoardError: the files of a row need more memory than is free on the board.
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
            f"the board has {available / 1e6:.0f} MB of memory free",
            hint="leave `alternate` out, name fewer models or take a smaller format",
        )


def _with(cell: Cell, files: Sequence[str]) -> Cell:
    workload = {**cell.subject.workload, "alternating": list(files)}
    return replace(cell, subject=replace(cell.subject, workload=workload))


def rotation_order(row: Sequence[Cell], runs: int) -> list[Cell]:
    """Return the order in which the models are loaded and alternate, after `runs` runs that count.

    Every second run has the reverse order, and every two runs start with another model, so that no model always follows
    the same one.
    """
    first = runs // 2 % len(row)
    order = [*row[first:], *row[:first]]
    return order[::-1] if runs % 2 else order
