"""The rows of a table compared with each other: each with the first of its workload."""

from __future__ import annotations

from collections.abc import Sequence

from edgebench.analysis.comparability import ALLOWABLE, row_key
from edgebench.analysis.comparison import Comparison, compare_pairs
from edgebench.analysis.quantities import LATENCY, estimate
from edgebench.measurement import Measurement
from edgebench.stats import MARGIN


def compare_rows(measurements: Sequence[Measurement], *, margin: float = MARGIN) -> list[Comparison]:
    """Return what may be said of each row against the first of its workload, judged together.

    Rows with fewer than two valid runs are left out, for they must not keep the others from being decided. Rows that
    differ in what must be the same are compared, and the comparison says so: it was the request to measure them.
    """
    pairs = [pair for pair in pairs_with_the_first(measurements) if estimate((LATENCY,), *pair) is not None]
    return compare_pairs(pairs, margin=margin, allow=ALLOWABLE) if pairs else []


def pairs_with_the_first(measurements: Sequence[Measurement]) -> list[tuple[Measurement, Measurement]]:
    """Return (baseline, candidate) pairs: the first row of each workload, threads and batch, and each other of it."""
    first: dict[tuple[object, ...], Measurement] = {}
    pairs = []
    for each in measurements:
        baseline = first.setdefault(row_key(each, formats_differ=True), each)
        if baseline is not each:
            pairs.append((baseline, each))
    return pairs
