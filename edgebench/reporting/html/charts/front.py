"""Quality against cost: which models no other one beats in both."""

from __future__ import annotations

from typing import Any

from edgebench.analysis import Front
from edgebench.reporting.html.charts.look import GOOD, altair, named, plot, shown, zoom
from edgebench.reporting.html.page import Figure, Rows

_ON, _OFF = "on the front", "dominated"
_COLUMNS = ("name", "quality", "quality_low", "quality_high", "cost", "cost_low", "cost_high", "where", "verdict")


def front(of: Front, where: str) -> Figure:
    """Return a front of one board and workload, which `where` names."""
    scale, unit = (1e6, "MB") if of.unit == "bytes" else (1.0, of.unit)
    rows = [
        (
            shown(each.name),
            each.quality.value,
            *(each.quality.ci or (None, None)),
            each.cost.value / scale,
            *((bound / scale for bound in each.cost.ci) if each.cost.ci else (None, None)),
            _OFF if each.dominated_by else _ON,
            each.verdict,
        )
        for each in of.choices
    ]
    lacking = f" Not measured: {', '.join(of.without)}." if of.without else ""
    return Figure(
        kind="front",
        title=f"Quality against {of.cost}: {where}",
        caption="Up is better, left is cheaper. No other model beats one on the front (the line) in both; the crosses "
        f"are 95 % intervals, and models whose crosses overlap may change places. Quality: {of.scored}.{lacking}",
        plots=(
            plot(
                _chart,
                f"Quality against {of.cost} of {', '.join(each.name for each in of.choices)}; {where}",
                f"{of.cost}, {unit}",
                height=280,
                rows=Rows(columns=_COLUMNS, rows=tuple(rows)),
            ),
        ),
    )


def _chart(title: str) -> Any:
    alt = altair()
    base = named("rows")
    cost = alt.X("cost:Q", title=title, scale=alt.Scale(zero=False, padding=20))
    quality = alt.Y("quality:Q", title="score, 0 to 100", scale=alt.Scale(zero=False, padding=20))
    line = (
        base.transform_filter(f"datum.where == '{_ON}'")
        .mark_line(strokeDash=[4, 3], color=GOOD)
        .encode(x=cost, y=quality)
    )
    across = base.mark_rule(opacity=0.7).encode(x="cost_low:Q", x2="cost_high:Q", y="quality:Q")
    up = base.mark_rule(opacity=0.7).encode(y="quality_low:Q", y2="quality_high:Q", x="cost:Q")
    colour = alt.Scale(domain=[_ON, _OFF], range=[GOOD, "#7f8c8d"])
    figures = [alt.Tooltip(f"{name}:Q", format=".4~g") for name in _COLUMNS[1:7]]
    dots = (
        base.mark_point(filled=True, size=90)
        .encode(
            x=cost,
            y=quality,
            color=alt.Color("where:N", scale=colour),
            shape=alt.Shape("where:N", scale=alt.Scale(domain=[_ON, _OFF], range=["circle", "diamond"])),
            tooltip=["name:N", *figures, "verdict:N"],
        )
        .add_params(zoom("x", "y"))
    )
    names = base.mark_text(align="left", dx=8, dy=-8, limit=160).encode(x=cost, y=quality, text="name:N")
    return line + across + up + dots + names
