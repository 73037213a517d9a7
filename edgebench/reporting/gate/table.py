"""A gate's result for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgebench.gating import GateResult
from edgebench.reporting.gate.rows import HEADERS, budget_rows
from edgebench.reporting.layout import PlainTable
from edgebench.reporting.verdict_style import coloured_sentence

if TYPE_CHECKING:
    from rich.text import Text


def gate_parts(result: GateResult) -> Iterator[PlainTable | Text | str]:
    """Yield what to print: the sentence, a row for each budget, and notes."""
    yield coloured_sentence(result.sentence)
    yield ""
    table = PlainTable(
        *HEADERS, figures=("limit", "found", "upper bound", "would have seen"), verdict="result",
        hide_first=("would have seen", "against", "workload", "upper bound"),
    )  # fmt: skip
    for row in budget_rows(result):
        table.add_row(*row)
    yield table
    yield ""
    sides = [result.baseline, result.candidate, *([result.anchor] if result.anchor is not None else [])]
    names = ("baseline", "candidate", "anchor")
    for role, side in zip(names, sides, strict=False):
        yield f"{role}: {side.name}, {side.variant} {side.format} {side.artifact_sha256[:12]}"
    for session in result.sessions:
        runs = " + ".join(str(count) for count in session.runs.values())
        yield f"session {session.id}: {session.mode}, {runs} valid runs ({_PURPOSES[session.purpose]})"
    yield from result.notes


_PURPOSES = {
    "decide": "decided",
    "spread": "its runs spread by more than 1 %, or the board is virtual: not used for latencies",
    "alone": "for memory and energy",
    "repeat": "repeated what failed",
}
