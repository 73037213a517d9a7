"""One measurement over time: latency, temperature, clock and load of other processes, a line for each run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgebench.analysis import FREQUENCY, OTHERS_CPU, cpu_temperatures, highest
from edgebench.measurement import Measurement
from edgebench.reporting.html.charts.look import ZOOM_HINT, altair, named, plot, shown, tips, zoom
from edgebench.reporting.html.charts.thin import binned
from edgebench.reporting.html.page import Figure, Plot, Rows, Value
from edgebench.run import Run, Series

_MOST_POINTS = 1200  # of all runs together; a sensor has half as many
_FEWEST_BINS = 40


def over_time(measurement: Measurement, title: str) -> Figure | None:
    """Return latency and the board's sensors over time; None where there is no trace."""
    runs = [run for run in measurement.runs if len(run.latencies_ns)]
    if not runs:
        return None
    most = max(_FEWEST_BINS, _MOST_POINTS // len(runs))
    longest = max(len(run.latencies_ns) for run in runs)
    thinned = (
        f" Drawn in at most {most} bins a run of equally many inferences: the line is each bin's median, the band its "
        "least and greatest."
        if longest > most
        else ""
    )
    sensors = tuple(_sensor_plots(runs, most, title))
    absent = "" if sensors else " The board reported no temperature, clock or load."
    return Figure(
        kind="time",
        title=f"Over time: {title}",
        caption="Seconds from the first timed inference of each run, a line for each run (its name shows on hovering). "
        "Shaded: inferences that do not count, because other processes worked. Latency that rises with the temperature "
        f"while the clock falls is throttling. {ZOOM_HINT}{thinned}{absent}",
        plots=(_latency_plot(runs, most, title), *sensors),
    )


def _latency_plot(runs: list[Run], most: int, title: str) -> Plot:
    rows: list[tuple[Value, ...]] = []
    spans: list[tuple[Value, ...]] = []
    for run in runs:
        seconds = (run.trace.starts_ns - run.trace.starts_ns[0]) / 1e9
        name = _name(run)
        rows += [(name, *each) for each in binned(seconds, run.trace.latencies_ns / 1e6, most)]
        first = int(run.trace.starts_ns[0])
        spans += [(name, (begin - first) / 1e9, (end - first) / 1e9) for begin, end in run.excluded_spans]
    return plot(
        _latency_chart,
        f"Latency over time of {title}",
        height=200,
        rows=Rows(columns=("run", "seconds", "ms", "low", "high"), rows=tuple(rows)),
        spans=Rows(columns=("run", "begin", "end"), rows=tuple(spans)),
    )


def _latency_chart() -> Any:
    alt = altair()
    x = alt.X("seconds:Q", title="seconds", scale=alt.Scale(nice=False))
    base = named("rows").encode(x=x, color=alt.Color("run:N", sort=None, legend=None))
    band = base.mark_area(opacity=0.2).encode(
        y=alt.Y("low:Q", title="latency, ms", scale=alt.Scale(zero=False)), y2="high:Q"
    )
    line = (
        base.mark_line(strokeWidth=1.5, clip=True)
        .encode(
            y="ms:Q",
            tooltip=["run:N", *tips("seconds", "ms", "low", "high")],
        )
        .add_params(zoom("x"))
    )
    spans = named("spans").mark_rect(opacity=0.22, color="#d1495b").encode(x="begin:Q", x2="end:Q", tooltip=["run:N"])
    return spans + band + line


def _name(run: Run) -> str:
    """Return the number of a run, which stands at the end of its id."""
    return shown(f"run {run.id.rpartition('-')[2]}")


def _sensor_plots(runs: list[Run], most: int, title: str) -> Iterator[Plot]:
    for label, unit, scale, find in _SENSORS:
        rows: list[tuple[Value, ...]] = []
        for run in runs:
            series = find(run)
            if series is None or not len(series.values):
                continue
            seconds = (series.t_ns - run.trace.starts_ns[0]) / 1e9
            rows += [(_name(run), each.at, each.middle) for each in binned(seconds, series.values / scale, most // 2)]
        if rows:
            yield plot(
                _sensor_chart,
                f"{label} over time of {title}",
                f"{label}, {unit}",
                height=110,
                rows=Rows(columns=("run", "seconds", "value"), rows=tuple(rows)),
            )


def _sensor_chart(title: str) -> Any:
    alt = altair()
    return (
        named("rows")
        .mark_line(strokeWidth=1.5, clip=True)
        .encode(
            x=alt.X("seconds:Q", title="seconds", scale=alt.Scale(nice=False)),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)),
            color=alt.Color("run:N", sort=None, legend=None),
            tooltip=["run:N", *tips("seconds", "value")],
        )
        .add_params(zoom("x"))
    )


def _temperature(run: Run) -> Series | None:
    return highest(cpu_temperatures(run.trace.readings).values())


def _clock(run: Run) -> Series | None:
    return highest(series for name, series in run.trace.readings.items() if name.startswith(FREQUENCY))


def _others(run: Run) -> Series | None:
    return run.trace.readings.get(OTHERS_CPU)


_SENSORS = (
    ("temperature", "°C", 1000.0, _temperature),
    ("clock", "MHz", 1000.0, _clock),
    ("other processes", "cores", 1000.0, _others),
)
