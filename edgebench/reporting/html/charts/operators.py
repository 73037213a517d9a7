"""Operators by time: how long each type of operator takes in one inference."""

from __future__ import annotations

from typing import Any

from edgebench.reporting.html.charts.look import LEGEND_HINT, MOST_SERIES, altair, legend_switch, named, plot, shown
from edgebench.reporting.html.page import Figure, Rows, Value
from edgebench.reporting.html.results import Group

_MOST_TYPES = 12
_REST = "all others"


def operators(group: Group) -> Figure | None:
    """Return the time of each type of operator; None where none was profiled."""
    rows: list[tuple[Value, ...]] = []
    for each in group.measurements[:MOST_SERIES]:
        profile = each.operators
        if profile is None:
            continue
        types = profile.by_type()
        kept, rest = types[:_MOST_TYPES], sum(total for _, total in types[_MOST_TYPES:])
        found = [*((name or "(unnamed)", total) for name, total in kept), *([(_REST, rest)] if rest else [])]
        name = shown(group.name(each))
        rows += [(name, shown(type_), profile.ms(total), profile.share(total)) for type_, total in found]
    if not rows:
        return None
    return Figure(
        kind="operators",
        title="Operators by time",
        caption="What each type of operator takes in one inference, by the runtime's own profiler, in an extra run "
        f"that does not count: the profiler makes every operator slower, so read shares, not sums. {LEGEND_HINT}",
        plots=(
            plot(
                _chart,
                f"Time of operators by type; {group.title}",
                rows=Rows(columns=("series", "type", "ms", "share"), rows=tuple(rows)),
            ),
        ),
    )


def _chart() -> Any:
    alt = altair()
    chosen, opacity = legend_switch(alt)
    return (
        named("rows")
        .mark_bar()
        .encode(
            x=alt.X("ms:Q", title="ms an inference", stack=None),
            y=alt.Y("type:N", sort="-x", title=None),
            yOffset=alt.YOffset("series:N", sort=None),
            color=alt.Color("series:N", sort=None),
            opacity=opacity,
            tooltip=["series:N", "type:N", alt.Tooltip("ms:Q", format=".3~g"), alt.Tooltip("share:Q", format=".1%")],
        )
        .add_params(chosen)
        .properties(height=alt.Step(14))
    )
