"""Histories of gates for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgebench.gating import GateHistory
from edgebench.reporting.layout import PlainTable
from edgebench.text import ratio_interval_text, ratio_text


def history_parts(histories: Sequence[GateHistory]) -> Iterator[PlainTable | str]:
    """Yield what to print of each history: a title, a row for each gate, the levels and notes."""
    for history in histories:
        board = f" ({history.board})" if history.board else ""
        yield f"{history.device}{board}, {history.workload}: ratio to {history.anchor}, measured in the same session"
        yield ""
        table = PlainTable(
            *("gate", "began", "candidate", "file", "ratio", "interval", "result", ""),
            whole=("gate", "began", "file"), figures=("ratio", "interval"), verdict="result",
            hide_first=("file", "began", "interval"),
        )  # fmt: skip
        for point in history.points:
            low_high = ratio_interval_text(point.interval) if point.interval is not None else ""
            change = "changed here" if point.is_change else ""
            table.add_row(point.gate, point.started_at[:19], point.candidate, point.artifact_sha256[:12],
                ratio_text(point.ratio, point.interval), low_high, point.result, change,
            )  # fmt: skip
        yield table
        yield ""
        if history.levels is not None:
            levels = " -> ".join(f"{level:.3f}" for level in history.levels)
            yield f"levels: {levels}" if len(history.levels) > 1 else f"no change found; level {levels}"
        yield from history.notes
        yield ""
