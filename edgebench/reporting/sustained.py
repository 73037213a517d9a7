"""A sustained run minute by minute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.console import RenderableType

from edgebench.figures import Minute, Sustained
from edgebench.measurement import Measurement
from edgebench.reporting.charts import bar
from edgebench.reporting.figures import rounded
from edgebench.reporting.layout import ALWAYS, Column, ResultTable
from edgebench.reporting.table import variant_name

_MOST_ROWS = 40


def sustained_tables(measurement: Measurement) -> Iterator[RenderableType]:
    """Yield a table of the minutes, and what the last one is against the first; nothing for any other measurement."""
    sustained = measurement.sustained
    if sustained is None or not sustained.minutes:
        return
    shown = _shown(sustained.minutes)
    columns = [
        Column(
            header, [cell(minute) for minute in shown], names_row=header == "minute", priority=_PRIORITIES.get(header)
        )
        for header, cell in _COLUMNS
    ]
    columns.append(_bars(shown))
    subject = measurement.subject
    heading = f"{variant_name(subject.variant)} {subject.artifact.format} · {subject.label} · minute by minute"
    yield ""
    yield ResultTable(
        [column for column in columns if any(column.cells)], heading=heading, notes=list(_notes(sustained, len(shown)))
    )


def against_the_first(sustained: Sustained) -> str:
    """Return in words how the last minute compares with the first."""
    ratio = sustained.first_to_last_ratio
    if ratio is None:
        return "not two minutes to compare"
    first, last = sustained.minutes[0], sustained.minutes[-1]
    return (
        f"p50 in the last minute: {ratio:.3f} times that of the first "
        f"({rounded(first.p50_ms)} -> {rounded(last.p50_ms)} ms)"
    )


def _bars(shown: Sequence[Minute]) -> Column:
    """Return a bar for each minute's p50, all of them from zero."""
    highest = max((minute.p50_ms for minute in shown if minute.p50_ms is not None), default=0.0)
    bars = [bar(minute.p50_ms, highest) if minute.p50_ms is not None else "" for minute in shown]
    return Column("p50", bars, text=True, chart=True, priority=6)


def _shown(minutes: tuple[Minute, ...]) -> list[Minute]:
    """Return the minutes that a screen has room for: evenly many, the first and the last always."""
    if len(minutes) <= _MOST_ROWS:
        return list(minutes)
    step = (len(minutes) - 1) / (_MOST_ROWS - 1)
    return [minutes[round(at * step)] for at in range(_MOST_ROWS)]


def _notes(sustained: Sustained, shown: int) -> Iterator[str]:
    yield against_the_first(sustained)
    minutes = sustained.minutes
    if shown < len(minutes):
        yield f"{shown} of {len(minutes)} minutes are shown; all are in the JSON"
    measured_min = sum(minute.seconds for minute in minutes) / 60
    if measured_min < 0.95 * sustained.planned_min:
        yield f"it ended after {measured_min:.1f} of {sustained.planned_min:g} minutes"
    if all(minute.clock_mhz is None and minute.temperature_c is None for minute in minutes):
        yield "this board reports neither its clock nor its temperature"


def _span(minute: Minute) -> str:
    return str(minute.number) if abs(minute.seconds - 60) < 1 else f"{minute.number} ({minute.seconds:.0f} s)"


#: A narrow terminal hides those with the greatest number first; others after them.
_PRIORITIES = {"p50\nms": ALWAYS, "others\ncores": 8, "p95\nms": 7}
#: Header and cell; a column without any cell is left out.
_COLUMNS: tuple[tuple[str, Callable[[Minute], str]], ...] = (
    ("minute", _span),
    ("p50\nms", lambda minute: rounded(minute.p50_ms)),
    ("p95\nms", lambda minute: rounded(minute.p95_ms)),
    ("inputs\n/s", lambda minute: rounded(minute.throughput_per_s)),
    ("clock\nMHz", lambda minute: f"{minute.clock_mhz:.0f}" if minute.clock_mhz is not None else ""),
    ("max\n°C", lambda minute: f"{minute.temperature_c:.1f}" if minute.temperature_c is not None else ""),
    ("others\ncores", lambda minute: f"{minute.others_cores:.2f}" if minute.others_cores is not None else ""),
    ("throttled", lambda minute: ", ".join(minute.throttled) if minute.throttled else ""),
)
