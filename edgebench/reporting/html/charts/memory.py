"""Memory of the measuring process: by phase for all measurements of a group, and over time for one."""

from __future__ import annotations

from typing import Any

from edgebench.measurement import Measurement
from edgebench.reporting.html.charts.look import LEGEND_HINT, altair, legend_switch, named, plot, shown, tips, zoom
from edgebench.reporting.html.charts.thin import binned
from edgebench.reporting.html.page import Figure, Rows, Value
from edgebench.reporting.html.results import Group

_MB = 1e6
_PHASES = (
    ("runtime imported (RSS)", "before_load"),
    ("model loaded (RSS)", "after_load"),
    ("peak RSS", "peak_rss"),
    ("peak PSS", "peak_pss"),
)
_SERIES = {"rss_bytes": "RSS", "pss_bytes": "PSS"}
_MOST_POINTS = 400


def memory_phases(group: Group) -> Figure | None:
    """Return memory by phase; None where it was not measured."""
    rows = [
        (shown(group.name(each)), phase, value / _MB)
        for each in group.measurements
        for phase, name in _PHASES
        if (value := getattr(each.memory_bytes, name)) is not None
    ]
    if not rows:
        return None
    return Figure(
        kind="memory",
        title="Memory by phase",
        caption="Memory of the measuring process when the runtime was imported, when the model was loaded, and at its "
        "peak. RSS counts shared pages in full, PSS its share of them; PSS is read at the borders of phases, so what "
        f"loading needs for a moment shows in peak RSS only. {LEGEND_HINT}",
        plots=(
            plot(
                _phases_chart,
                f"Memory by phase; {group.title}",
                rows=Rows(columns=("series", "phase", "MB"), rows=tuple(rows)),
            ),
        ),
    )


def _phases_chart() -> Any:
    alt = altair()
    chosen, opacity = legend_switch(alt)
    return (
        named("rows")
        .mark_point(filled=True, size=80)
        .encode(
            x=alt.X("MB:Q", title="MB"),
            y=alt.Y("phase:N", sort=[phase for phase, _ in _PHASES], title=None),
            color=alt.Color("series:N", sort=None),
            opacity=opacity,
            tooltip=["series:N", "phase:N", alt.Tooltip("MB:Q", format=".4~g")],
        )
        .add_params(chosen)
        .properties(height=alt.Step(30))
    )


def memory_over_time(measurement: Measurement, title: str) -> Figure | None:
    """Return memory over time of the first run that counts, with its phases; None where it was not read."""
    runs = [run for run in measurement.runs if len(run.latencies_ns) and "rss_bytes" in run.trace.readings]
    run = next((run for run in runs if run.valid), runs[0] if runs else None)
    if run is None:
        return None
    first = int(run.trace.starts_ns[0])
    rows: list[tuple[Value, ...]] = []
    for name, label in _SERIES.items():
        series = run.trace.readings.get(name)
        if series is not None and len(series.values):
            points = binned((series.t_ns - first) / 1e9, series.values / _MB, _MOST_POINTS)
            rows += [(label, each.at, each.middle) for each in points]
    phases: list[tuple[Value, ...]] = [("timed", 0.0)]
    if len(run.trace.warmup_starts_ns):
        phases.insert(0, ("warm-up", (int(run.trace.warmup_starts_ns[0]) - first) / 1e9))
    return Figure(
        kind="memory",
        title=f"Memory over time: {title}",
        caption="Memory of the measuring process in one run. The dashed lines are where the warm-up and the timed "
        "inferences begin; left of them the runtime and the model are loaded.",
        plots=(
            plot(
                _time_chart,
                f"Memory over time of {title}",
                height=160,
                rows=Rows(columns=("series", "seconds", "MB"), rows=tuple(rows)),
                phases=Rows(columns=("phase", "seconds"), rows=tuple(phases)),
            ),
        ),
    )


def _time_chart() -> Any:
    alt = altair()
    lines = (
        named("rows")
        .mark_line(point=True, strokeWidth=1.5, clip=True)
        .encode(
            x=alt.X("seconds:Q", title="seconds from the first timed inference"),
            y=alt.Y("MB:Q", title="MB"),
            color=alt.Color("series:N", sort=None),
            tooltip=["series:N", *tips("seconds", "MB")],
        )
        .add_params(zoom("x"))
    )
    phases = named("phases").encode(x="seconds:Q")
    rules = phases.mark_rule(strokeDash=[4, 3])
    texts = phases.mark_text(align="left", dx=4, y=8, baseline="top").encode(text="phase:N")
    return lines + rules + texts
