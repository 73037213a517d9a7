"""Forest plots: the ratio of each comparison or budget with its interval, beside the margin."""

from __future__ import annotations

from collections.abc import Sequence

from edgebench.analysis import PairedComparison
from edgebench.gating import GateResult
from edgebench.reporting.gate.rows import title_of
from edgebench.reporting.html.charts.look import (
    BAD,
    GOOD,
    OPEN,
    altair,
    lines_of,
    named,
    plot,
    row_height,
    row_label,
    rows_of,
    tips,
    zoom,
)
from edgebench.reporting.html.page import Figure, Plot, Rows, Value
from edgebench.reporting.html.tables import comparison_name, contrasts_of

_COLUMNS = ("row", "ratio", "low", "high", "verdict", "colour", "margin_low", "margin_high")
_NEUTRAL = "#7f8c8d"
_COLOURS = {
    **dict.fromkeys(("faster", "equivalent", "less", "pass"), GOOD),
    **dict.fromkeys(("slower", "more", "fail"), BAD),
    **dict.fromkeys(("inconclusive", "not decided", "undecided"), OPEN),
}
_CAPTION = (
    "A dot is a ratio, the line its interval. Left of 1 the candidate takes less (of throughput: does less). The "
    "shaded band is the margin: a line inside the band is equivalent, a line that does not touch 1 is a "
    "difference, any other is inconclusive. A hollow dot has no interval and decides nothing."
)


def forest(comparisons: Sequence[PairedComparison]) -> list[Figure]:
    """Return a figure for each board with the ratios of its comparisons; ratios of two boards share no axis."""
    boards: dict[str, list[PairedComparison]] = {}
    for each in comparisons:
        boards.setdefault(str(each.comparison.candidate.subject.device.name), []).append(each)
    found = (_of_board(board, mine, several=len(boards) > 1) for board, mine in boards.items())
    return [figure for figure in found if figure is not None]


def _of_board(board: str, comparisons: Sequence[PairedComparison], *, several: bool) -> Figure | None:
    many = len({(comparison_name(each), each.comparison.candidate.subject.label) for each in comparisons}) > 1
    rows: list[tuple[Value, ...]] = []
    for each in comparisons:
        subject = each.comparison.candidate.subject
        of = f"{comparison_name(each)}, {subject.label}: " if many else ""
        for contrast in contrasts_of(each):
            if contrast.ratio is None:
                continue
            low, high = contrast.ci or (None, None)
            colour = _COLOURS.get(contrast.verdict, _NEUTRAL)
            margin = (1 - contrast.margin, 1 + contrast.margin)
            rows.append(
                (row_label(of + contrast.quantity), contrast.ratio, low, high, contrast.verdict, colour, *margin)
            )
    if not rows:
        return None
    where = f" on {board}" if several else ""
    return Figure(
        kind="forest",
        title=f"Ratios{where}",
        caption=_CAPTION,
        plots=(_plot(rows, f"Ratios of candidate to baseline on {board}, with intervals and margin"),),
    )


def gate_forest(gate: GateResult) -> Figure | None:
    """Return the ratios of a gate's budgets; None where no budget has one."""
    rows: list[tuple[Value, ...]] = []
    for each in (*gate.budgets, *gate.anchor_budgets):
        if each.ratio is None:
            continue
        low, high = each.interval or (None, each.upper_bound)
        name = ", ".join(part for part in (title_of(each), each.workload, f"to {each.against}") if part)
        margin = (1.0, 1 + each.margin) if each.margin is not None else (None, None)
        verdict = str(each.result)
        rows.append((row_label(name), each.ratio, low, high, verdict, _COLOURS.get(verdict, _NEUTRAL), *margin))
    if not rows:
        return None
    return Figure(
        kind="forest",
        title=f"Budgets of the gate on {gate.device.get('name')}",
        caption="A dot is the ratio of the candidate to the side it is held against, the line its interval. The "
        "shaded band is what the budget allows: a line that ends inside it passes, one that lies beyond it fails, "
        "any other is undecided.",
        plots=(_plot(rows, f"Ratios of gate {gate.id} with what the budgets allow"),),
    )


def _plot(rows: Sequence[tuple[Value, ...]], label: str) -> Plot:
    lines = lines_of(str(name) for name, *_ in rows)
    one = Rows(columns=("one",), rows=((1,),))
    return plot(_chart, label, lines, rows=Rows(columns=_COLUMNS, rows=tuple(rows)), one=one)


def _chart(lines: str) -> object:
    alt = altair()
    y = rows_of("row", lines)
    base = named("rows").encode(y=y)
    colour = alt.Color("colour:N", scale=None)
    low = alt.X("low:Q", title="ratio, candidate / baseline", scale=alt.Scale(zero=False, nice=False, padding=10))
    band = base.mark_bar(opacity=0.18, color="#7f8c8d", height={"band": 1}).encode(x="margin_low:Q", x2="margin_high:Q")
    one = named("one").mark_rule(strokeDash=[4, 3]).encode(x="one:Q")
    line = base.mark_rule(strokeWidth=2.5).encode(x=low, x2="high:Q", color=colour)
    filled = alt.condition("datum.low === null && datum.high === null", alt.value(0), alt.value(1))
    dot = (
        base.mark_point(size=75, filled=False, strokeWidth=2)
        .encode(
            x="ratio:Q",
            color=colour,
            fill=alt.Fill("colour:N", scale=None),
            fillOpacity=filled,
            tooltip=[
                "row:N",
                *tips("ratio", "low", "high", form=".4f"),
                "verdict:N",
            ],
        )
        .add_params(zoom("x"))
    )
    return (band + one + line + dot).properties(height=row_height(lines, 26))
