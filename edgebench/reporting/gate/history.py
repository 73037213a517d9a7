"""Histories of gates for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgebench.gating import GateHistory
from edgebench.reporting.layout import add_plain_row, plain_table

if TYPE_CHECKING:
    from rich.table import Table


def history_parts(histories: Sequence[GateHistory]) -> Iterator[Table | str]:
    """Yield what to print of each history: a title, a row for each gate, the levels and notes."""
    for history in histories:
        board = f" ({history.board})" if history.board else ""
        yield f"{history.device}{board}, {history.workload}: ratio to {history.anchor}, measured in the same session"
        yield ""
        table = plain_table("gate", "began", "candidate", "file", "ratio", "interval", "result", "")
        for point in history.points:
            low_high = f"{point.interval[0]:.3f} to {point.interval[1]:.3f}" if point.interval is not None else ""
            change = "changed here" if point.is_change else ""
            add_plain_row(
                table, point.gate, point.started_at[:19], point.candidate, point.artifact_sha256[:12],
                f"{point.ratio:.4f}", low_high, point.result, change,
            )  # fmt: skip
        yield table
        yield ""
        if history.levels is not None:
            levels = " -> ".join(f"{level:.3f}" for level in history.levels)
            yield f"levels: {levels}" if len(history.levels) > 1 else f"no change found; level {levels}"
        yield from history.notes
        yield ""
