"""Latency distributions: the share of inferences that took at most so long, a curve for each measurement."""

from __future__ import annotations

from edgebench.measurement import Measurement
from edgebench.reporting.html.charts.look import (
    LEGEND_HINT,
    MOST_SERIES,
    ZOOM_HINT,
    altair,
    legend_switch,
    named,
    plot,
    shown,
    zoom,
)
from edgebench.reporting.html.charts.thin import SHARES, quantile_points
from edgebench.reporting.html.page import Figure, Rows
from edgebench.reporting.html.results import Group
from edgebench.run import Run

#: From this ratio of the slowest inference to the fastest, an even axis would show the tail and little else.
_LONG_TAIL = 10.0


def distribution(group: Group) -> Figure | None:
    """Return the curves of a group; None where no measurement has a trace."""
    import numpy as np

    rows, total = [], 0
    drawn = [each for each in group.measurements if any(len(run.latencies_ns) for run in each.runs)]
    for each in drawn[:MOST_SERIES]:
        values = np.concatenate([run.latencies_ns[~run.is_excluded] for run in _runs(each)]) / 1e6
        total += len(values)
        rows += [(shown(_series(group, each)), value, share) for value, share in quantile_points(values)]
    if not rows:
        return None
    times_ms = [ms for _, ms, _ in rows]
    has_long_tail = max(times_ms) > _LONG_TAIL * min(times_ms) > 0
    scale = " The axis of latency is logarithmic." if has_long_tail else ""
    left_out = f" The first {MOST_SERIES} of {len(drawn)} are drawn." if len(drawn) > MOST_SERIES else ""
    thinned = f" Drawn at {len(SHARES)} quantiles of {total:,} inferences." if len(rows) < total else ""
    return Figure(
        kind="distribution",
        title="Latency distribution",
        caption="A point says which share of inferences took at most so long. A curve further left is faster, a "
        "steeper one steadier; a long flat end is a slow tail. Inferences that do not count are left out. "
        f"{LEGEND_HINT} {ZOOM_HINT}{scale}{thinned}{left_out}",
        plots=(
            plot(
                _logarithmic_chart if has_long_tail else _chart,
                f"Latency distribution of {', '.join(group.name(each) for each in drawn)}; {group.title}",
                height=260,
                points=Rows(columns=("series", "ms", "share"), rows=tuple(rows)),
            ),
        ),
    )


def _runs(measurement: Measurement) -> list[Run]:
    """Return the runs that count; where none does, all."""
    runs = [run for run in measurement.runs if len(run.latencies_ns)]
    return [run for run in runs if run.valid] or runs


def _series(group: Group, measurement: Measurement) -> str:
    return group.name(measurement) + ("" if measurement.valid else " (not valid)")


def _chart() -> object:
    return _curves(altair().Scale(zero=False))


def _logarithmic_chart() -> object:
    return _curves(altair().Scale(type="log", nice=False))


def _curves(scale: object) -> object:
    alt = altair()
    chosen, opacity = legend_switch(alt)
    return (
        named("points")
        .mark_line(interpolate="step-after", strokeWidth=2, clip=True)
        .encode(
            x=alt.X("ms:Q", title="latency, ms", scale=scale),
            y=alt.Y("share:Q", title="share of inferences", axis=alt.Axis(format="%")),
            color=alt.Color("series:N", sort=None),
            opacity=opacity,
            tooltip=[
                alt.Tooltip("series:N", title="measurement"),
                alt.Tooltip("ms:Q", title="ms", format=".4~g"),
                alt.Tooltip("share:Q", title="share", format=".1%"),
            ],
        )
        .add_params(chosen, zoom("x"))
    )
