"""The history of a gate: the candidates' ratio to the anchor over time, with the levels between changes."""

from __future__ import annotations

from typing import Any

from edgebench.gating import GateHistory
from edgebench.reporting.html.charts.look import BAD, GOOD, OPEN, altair, named, plot, shown, tips, zoom
from edgebench.reporting.html.page import Figure, Rows, Value


def history(of: GateHistory) -> Figure:
    """Return the history of one board, workload and anchor."""
    points: list[tuple[Value, ...]] = []
    levels: list[tuple[Value, ...]] = []
    changes: list[tuple[Value, ...]] = []
    level = -1
    for at, each in enumerate(of.points):
        if at == 0 or each.is_change:
            level += 1
        if of.levels is not None:
            levels.append((each.started_at, of.levels[level], level))
        if each.is_change:
            changes.append((each.started_at,))
        low, high = each.interval or (None, None)
        points.append((each.started_at, each.ratio, low, high, shown(each.candidate), each.result, shown(each.gate)))
    title = f"{of.device}, {of.workload}, ratio to {of.anchor}"
    return Figure(
        kind="history",
        title=f"History: {title}",
        caption="A dot is a gate: the candidate's latency relative to the anchor, which was measured in the same "
        "session, so that dots of different days can be compared. The strokes are the levels, a dashed "
        "line is where one changes." + (" Changes were not searched for." if of.levels is None else ""),
        plots=(
            plot(
                _chart,
                f"History of gates: {title}",
                height=240,
                points=Rows(
                    columns=("time", "ratio", "low", "high", "candidate", "result", "gate"), rows=tuple(points)
                ),
                levels=Rows(columns=("time", "level", "number"), rows=tuple(levels)),
                changes=Rows(columns=("time",), rows=tuple(changes)),
            ),
        ),
    )


def _chart() -> Any:
    alt = altair()
    base = named("points").encode(x=alt.X("time:T", title=None, scale=alt.Scale(padding=12)))
    interval = base.mark_rule(opacity=0.6).encode(
        y=alt.Y("low:Q", title="ratio to the anchor", scale=alt.Scale(zero=False)), y2="high:Q"
    )
    colour = alt.Scale(domain=["pass", "fail", "undecided"], range=[GOOD, BAD, OPEN])
    dots = (
        base.mark_point(filled=True, size=70)
        .encode(
            y="ratio:Q",
            color=alt.Color("result:N", scale=colour),
            shape=alt.Shape("result:N", scale=alt.Scale(domain=["pass", "fail", "undecided"])),
            tooltip=[
                "gate:N",
                "candidate:N",
                "time:T",
                *tips("ratio", "low", "high", form=".4f"),
            ],
        )
        .add_params(zoom("x"))
    )
    levels = (
        named("levels")
        .mark_line(strokeWidth=2.5, opacity=0.6, color="#3b82c4")
        .encode(x="time:T", y="level:Q", detail="number:N")
    )
    changes = named("changes").mark_rule(strokeDash=[4, 3]).encode(x="time:T")
    return changes + levels + interval + dots
