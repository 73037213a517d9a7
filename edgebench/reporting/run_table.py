"""The runs of a measurement as a table, with charts of how each went."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from edgebench.figures import LatencySummary
from edgebench.measurement import Measurement
from edgebench.reporting.charts import span_bar, sparkline
from edgebench.reporting.figures import megabytes, rounded
from edgebench.reporting.layout import ALWAYS, Column, ResultTable
from edgebench.reporting.table import VALID_CELLS
from edgebench.run import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BAR = 14  # characters of a bar
_PIECES = 12  # characters of a sparkline
_WORDS = ("run", "started at", "valid")
#: Header, cell, and priority: a narrow terminal hides those with the greatest first.
_COLUMNS: tuple[tuple[str, Callable[[Run, LatencySummary], str], int], ...] = (
    ("run", lambda run, _: run.id, ALWAYS),
    ("started at", lambda run, _: run.started_at[:19], 9),
    ("inferences", lambda run, _: f"{len(run.latencies_ns):,}", 6),
    ("excluded", lambda run, _: f"{int(run.is_excluded.sum()):,}", 8),
    ("load\nms", lambda run, _: rounded(_ms(run.load_ns)), 5),
    ("first\nms", lambda run, _: rounded(_ms(run.first_ns)), 7),
    ("p50\nms", lambda _, latency: rounded(latency.p50), ALWAYS),
    ("p95\nms", lambda _, latency: rounded(latency.p95), 2),
    ("peak\nRSS MB", lambda run, _: rounded(megabytes(run.memory.peak_rss)), 4),
    ("PSS MB", lambda run, _: rounded(megabytes(run.memory.peak_pss)), 7),
    ("valid", lambda run, _: VALID_CELLS[run.state], ALWAYS),
)


def run_table(measurement: Measurement) -> ResultTable:
    """Return a row for each run; in charts, the spread of its latencies, and latency and memory over its time."""
    pairs = list(zip(measurement.runs, measurement.run_latency_ms, strict=True))
    columns = [
        Column(
            header,
            [cell(run, latency) for run, latency in pairs],
            names_row=header == "run",
            text=header in _WORDS,
            verdict=header == "valid",
            priority=priority,
        )
        for header, cell, priority in _COLUMNS
    ]
    charts = (_spread(measurement.runs), _latency_over_time(measurement.runs), _memory(measurement.runs))
    return ResultTable([*columns, *(chart for chart in charts if any(chart.cells))])


def _spread(runs: Sequence[Run]) -> Column:
    """Return bars from the 10th to the 90th percentile, all on one scale."""
    import numpy as np

    spans = [
        tuple(float(each) / 1e6 for each in np.percentile(run.latencies_ns, (10, 50, 90)))
        if len(run.latencies_ns)
        else None
        for run in runs
    ]
    known = [span for span in spans if span is not None]
    low, high = min((span[0] for span in known), default=0.0), max((span[2] for span in known), default=0.0)
    bars = [span_bar((span[0], span[1], span[2]), low, high, width=_BAR) if span is not None else "" for span in spans]
    note = (
        f"spread: a run's latencies from the 10th to the 90th percentile, with the median; {rounded(low)} ms on the "
        f"left, {rounded(high)} ms on the right"
    )
    return Column("spread", bars, text=True, chart=True, priority=3, note=note)


def _latency_over_time(runs: Sequence[Run]) -> Column:
    import numpy as np

    pieces = [[float(np.median(piece)) / 1e6 for piece in _pieces(run)] for run in runs]
    chart, low, high = _sparklines(pieces)
    note = f"over time: median latency, from {rounded(low)} ms (lowest) to {rounded(high)} ms (highest)"
    return Column("over time", chart, text=True, chart=True, priority=10, note=note)


def _pieces(run: Run) -> Iterator[NDArray[np.int64]]:
    """Yield the latencies of a run in equal parts, where there are enough for a median of several."""
    import numpy as np

    if len(run.latencies_ns) >= 3 * _PIECES:
        yield from np.array_split(run.latencies_ns, _PIECES)


def _memory(runs: Sequence[Run]) -> Column:
    import numpy as np

    readings = [run.trace.readings.get("rss_bytes") for run in runs]
    pieces = [
        [float(piece.max()) / 1e6 for piece in np.array_split(series.values, min(_PIECES, len(series.values)))]
        if series is not None and len(series.values) > 1
        else []
        for series in readings
    ]
    chart, low, high = _sparklines(pieces)
    note = f"RSS over time: from {rounded(low)} MB (lowest) to {rounded(high)} MB (highest), loading included"
    return Column("RSS over time", chart, text=True, chart=True, priority=11, note=note)


def _sparklines(rows: Sequence[Sequence[float]]) -> tuple[list[str], float, float]:
    """Return a sparkline for each row, all on one scale, and the ends of the scale."""
    values = [value for row in rows for value in row]
    low, high = min(values, default=0.0), max(values, default=0.0)
    return [sparkline(row, low, high) for row in rows], low, high


def _ms(value_ns: int | None) -> float | None:
    return value_ns / 1e6 if value_ns is not None else None
