"""Each run's median as a dot, with the interval of the measurement: what verdicts are made of."""

from __future__ import annotations

from edgebench.reporting.html.charts.look import (
    BAD,
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
from edgebench.reporting.html.page import Figure, Rows
from edgebench.reporting.html.results import Group

_HIDDEN_OF_NAME = "left out"


def run_medians(group: Group) -> Figure | None:
    """Return the dots of a group; None where no run has a median."""
    dots, intervals = [], []
    for each in group.measurements:
        name = row_label(group.name(each))
        for run, of_run in zip(each.runs, each.run_latency_ms, strict=True):
            if of_run.p50 is not None:
                dots.append((name, of_run.p50, "counts" if run.valid else _HIDDEN_OF_NAME, run.id, run.started_at[:19]))
        latency = each.latency_ms
        if latency.p50 is not None:
            low, high = latency.p50_ci or (None, None)
            intervals.append((name, latency.p50, low, high))
    if not dots:
        return None
    return Figure(
        kind="runs",
        title="Medians of the runs",
        caption="A dot is the median latency of one run, which is one fresh process; a cross is a run that does not "
        "count. The stroke is the typical run, the line its 95 % interval within this session. Intervals that overlap "
        "say little: the comparison of two measurements has its own interval, of their ratio.",
        plots=(
            plot(
                _chart,
                f"Median latency of each run, with intervals; {group.title}",
                lines_of(name for name, *_ in dots),
                dots=Rows(columns=("series", "ms", "state", "run", "started"), rows=tuple(dots)),
                intervals=Rows(columns=("series", "ms", "low", "high"), rows=tuple(intervals)),
            ),
        ),
    )


def _chart(lines: str) -> object:
    alt = altair()
    y = rows_of("series", lines)
    x = alt.X("ms:Q", title="median latency, ms", scale=alt.Scale(zero=False, padding=10))
    state = alt.Scale(domain=["counts", _HIDDEN_OF_NAME], range=["circle", "cross"])
    dots = (
        named("dots")
        .mark_point(size=45, filled=True, opacity=0.65)
        .encode(
            x=x,
            y=y,
            shape=alt.Shape("state:N", scale=state, legend=None),
            color=alt.Color(
                "state:N", scale=alt.Scale(domain=["counts", _HIDDEN_OF_NAME], range=["#3b82c4", BAD]), legend=None
            ),
            tooltip=[alt.Tooltip("run:N"), alt.Tooltip("ms:Q", format=".4~g"), "state:N", "started:N"],
        )
        .add_params(zoom("x"))
    )
    typical = named("intervals").encode(y=y)
    line = typical.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q")
    stroke = typical.mark_tick(thickness=3, size=16, color="currentColor").encode(
        x=alt.X("ms:Q"),
        tooltip=["series:N", *tips("ms", "low", "high")],
    )
    return (line + stroke + dots).properties(height=row_height(lines, 30))
