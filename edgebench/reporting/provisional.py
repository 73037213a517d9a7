"""Figures of measurements that are not valid: shown greyed and in parentheses, never as results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from edgebench.analysis import summarise
from edgebench.measurement import Measurement
from edgebench.reason import ReasonCode, State
from edgebench.reporting.layout import Column

#: Of such a run no figure is shown at all.
_NOTHING_MEASURED = {ReasonCode.INCOMPLETE, ReasonCode.FAILED, ReasonCode.INTERRUPTED, ReasonCode.PARTNER_MISSING}
PROVISIONAL_NOTE = "(in parentheses): not valid, for orientation only; the reasons are below"


def with_provisional_figures(measurement: Measurement) -> Measurement:
    """Return a measurement that has figures to show: of all its runs where none is valid, else unchanged."""
    if measurement.valid or any(run.valid for run in measurement.runs):
        return measurement
    runs = [
        replace(run, reasons=())
        for run in measurement.runs
        if len(run.latencies_ns) and not any(reason.code in _NOTHING_MEASURED for reason in run.reasons)
    ]
    if not runs:
        return measurement
    shown = summarise(measurement.subject, runs, scores=measurement.scores)
    return replace(
        measurement,
        latency_ms=shown.latency_ms,
        throughput_per_s=shown.throughput_per_s,
        tokens_per_s=shown.tokens_per_s,
        load_ms=shown.load_ms,
        first_ms=shown.first_ms,
        memory_bytes=shown.memory_bytes,
    )


def figure_column(
    header: str, measurements: Sequence[Measurement], cell: Callable[[Measurement], str], *, priority: int
) -> Column:
    """Return the column of a figure, marked in the rows that are not valid."""
    texts = [cell(with_provisional_figures(each)) for each in measurements]
    dim = [at for at, each in enumerate(measurements) if each.state is State.NOT_VALID]
    return Column(
        header,
        [f"({text})" if at in dim and text else text for at, text in enumerate(texts)],
        dim=dim,
        priority=priority,
    )


def has_provisional_figures(measurements: Sequence[Measurement]) -> bool:
    """Return whether any row has figures that are not valid."""
    return any(
        each.state is State.NOT_VALID and with_provisional_figures(each).latency_ms.p50 is not None
        for each in measurements
    )
