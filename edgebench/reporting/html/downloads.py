"""The data behind a page as CSV: figures of measurements and runs, and as many single latencies as find room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgebench.measurement import Measurement
from edgebench.reason import joined
from edgebench.reporting.html.escape import as_csv
from edgebench.reporting.html.page import Download

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST_LATENCIES = 10_000  # rows of some 60 bytes: 0.8 MB as a data: address
_WHOSE = ("measurement", "variant", "format", "device", "workload")
_FIGURES = ("p50", "p90", "p95", "p99", "min", "mean", "max", "geomean")


def downloads_of(measurements: Sequence[Measurement]) -> Iterator[Download]:
    """Yield the files; nothing without measurements."""
    if not measurements:
        return
    yield Download(
        name="measurements.csv",
        about="a row per measurement",
        text=as_csv(
            (*_WHOSE, "session", "valid", *(f"{name}_ms" for name in _FIGURES), *_MORE), map(_row, measurements)
        ),
    )
    yield Download(
        name="runs.csv",
        about="a row per run",
        text=as_csv(
            (*_WHOSE, "run", "started_at", "valid", "reasons", "inferences", "excluded", *_OF_RUN), _runs(measurements)
        ),
    )
    count = sum(len(run.latencies_ns) for each in measurements for run in each.runs)
    step = max(1, -(-count // _MOST_LATENCIES))
    yield Download(
        name="latencies.csv",
        about="a row per timed inference"
        if step == 1
        else f"every {step}th timed inference, because {count:,} find no room; all: edgebench runs export",
        text=as_csv(("run", "seconds", "latency_ms", "counts"), _latencies(measurements, step)),
    )


_MORE = (
    *("p50_low_ms", "p50_high_ms", "throughput_per_s", "tokens_per_s", "load_ms", "first_ms"),
    *("peak_rss_bytes", "peak_pss_bytes", "energy_j"),
)
_OF_RUN = ("p50_ms", "p95_ms", "load_ms", "first_ms", "peak_rss_bytes", "peak_pss_bytes")


def _whose(each: Measurement) -> tuple[object, ...]:
    subject = each.subject
    return each.id, subject.variant.name, str(subject.artifact.format), subject.device.name, subject.label


def _row(each: Measurement) -> tuple[object, ...]:
    latency, memory = each.latency_ms, each.memory_bytes
    low, high = latency.p50_ci or (None, None)
    figures = (getattr(latency, name) for name in _FIGURES)
    energy = each.energy_j.per_inference if each.energy_j is not None else None
    return (
        *_whose(each), each.subject.session, str(each.state), *figures, low, high, each.throughput_per_s,
        each.tokens_per_s, each.load_ms, each.first_ms, memory.peak_rss, memory.peak_pss, energy,
    )  # fmt: skip


def _runs(measurements: Sequence[Measurement]) -> Iterator[tuple[object, ...]]:
    for each in measurements:
        for run, of_run in zip(each.runs, each.run_latency_ms, strict=True):
            times = [value / 1e6 if value is not None else None for value in (run.load_ns, run.first_ns)]
            yield (
                *_whose(each), run.id, run.started_at, str(run.state), joined(run.reasons), len(run.latencies_ns),
                int(run.is_excluded.sum()), of_run.p50, of_run.p95, *times, run.memory.peak_rss, run.memory.peak_pss,
            )  # fmt: skip


def _latencies(measurements: Sequence[Measurement], step: int) -> Iterator[tuple[object, ...]]:
    for each in measurements:
        for run in each.runs:
            trace = run.trace
            seconds: NDArray[np.float64] = (trace.starts_ns - trace.starts_ns[:1].sum()) / 1e9
            kept = ~run.is_excluded if run.valid else run.is_excluded & False
            for at in range(0, len(seconds), step):
                yield (run.id, round(float(seconds[at]), 4), int(trace.latencies_ns[at]) / 1e6, bool(kept[at]))
