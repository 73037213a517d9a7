"""Metrics that budgets may limit: the quantity of each, the unit of its ceiling, and how it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from edgebench.analysis import (
    ENERGY,
    LATENCY,
    P95,
    P99,
    PEAK_PSS,
    PEAK_RSS,
    THROUGHPUT,
    Quantity,
    estimate,
    run_figures,
)
from edgebench.measurement import Measurement
from edgebench.stats import RatioEstimate
from edgebench.workload import Scenario


class Metric(StrEnum):
    """What a budget limits."""

    LATENCY = "latency"
    P95 = "p95"
    MEMORY = "peak_pss"
    ENERGY = "energy"
    SIZE = "size"
    SCORE = "score"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricKind:
    """How a metric is measured and shown.

    `quantities`: of several, the first that both sides have. `scale`: figures of runs in one unit of `unit`. `alone`: a
    process that alternates with others does not tell it. `ceiling`: the key of a budget's ceiling.
    """

    title: str
    unit: str
    ceiling: str | None
    quantities: tuple[Quantity, ...] = ()
    scale: float = 1.0
    alone: bool = False


KINDS = {
    Metric.LATENCY: MetricKind(title="latency", unit="ms", ceiling="ceiling_ms", quantities=(LATENCY,), scale=1e6),
    Metric.P95: MetricKind(title="p95", unit="ms", ceiling="ceiling_ms", quantities=(P95,), scale=1e6),
    Metric.MEMORY: MetricKind(
        title="peak memory", unit="bytes", ceiling="ceiling_bytes", quantities=(PEAK_PSS, PEAK_RSS), alone=True
    ),
    Metric.ENERGY: MetricKind(title="energy", unit="J", ceiling="ceiling_j", quantities=(ENERGY,), alone=True),
    Metric.SIZE: MetricKind(title="size", unit="bytes", ceiling="ceiling_bytes"),
    Metric.SCORE: MetricKind(title="score", unit="points", ceiling=None),
}


def estimate_of(metric: Metric, baseline: Measurement, candidate: Measurement) -> RatioEstimate | None:
    """Return the ratio candidate / baseline, above 1 where the candidate is worse; None where it was not measured.

    The latency of an offline workload is the time for one input, the inverse of its throughput; that of a server is
    its tail.
    """
    scenario = candidate.subject.workload.get("scenario")
    if metric is Metric.LATENCY and scenario == Scenario.OFFLINE:
        found = estimate((THROUGHPUT,), baseline, candidate)
        return replace(found, log_ratio=-found.log_ratio) if found is not None else None
    return estimate(_quantities(metric, candidate), baseline, candidate)


def figures_in_unit(metric: Metric, measurement: Measurement) -> list[float]:
    """Return the figure of each valid run that has one, in the metric's unit."""
    scale = KINDS[metric].scale
    if metric is Metric.LATENCY and measurement.subject.workload.get("scenario") == Scenario.OFFLINE:
        return [1000 / float(rate) for rate in run_figures(THROUGHPUT, measurement)]
    for quantity in _quantities(metric, measurement):
        if len(found := run_figures(quantity, measurement)):
            return [float(figure) / scale for figure in found]
    return []


def spread_of(baseline: Measurement, candidate: Measurement) -> float:
    """Return the standard deviation of the runs' log latencies, drift apart; 0 where too few were measured."""
    found = estimate_of(Metric.LATENCY, baseline, candidate)
    return found.spread if found is not None else 0.0


def _quantities(metric: Metric, measurement: Measurement) -> Sequence[Quantity]:
    is_server = measurement.subject.workload.get("scenario") == Scenario.SERVER
    return (P99, P95, LATENCY) if metric is Metric.LATENCY and is_server else KINDS[metric].quantities
