"""Budgets of the marker `edge`: what a measurement may cost, judged as an absolute budget of a gate is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from edgebench.errors import UnknownName
from edgebench.text import printable

if TYPE_CHECKING:
    from edgebench.gating import GateVerdict
    from edgebench.measurement import Measurement

#: Of one look at the data; a gate looks three times.
_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Kind:
    """What a key of the marker limits: `metric` of a gate's budgets or a quantity of comparisons, in `scale` of `unit`.

    `is_floor`: the figure must be above the limit, not below.
    """

    title: str
    unit: str
    metric: str
    scale: float = 1.0
    is_floor: bool = False


KINDS = {
    "max_latency_ms": Kind("latency", "ms", "latency"),
    "max_p50_ms": Kind("p50", "ms", "p50"),
    "max_p95_ms": Kind("p95", "ms", "p95"),
    "max_p99_ms": Kind("p99", "ms", "p99"),
    "max_peak_pss_mb": Kind("peak memory", "MB", "peak_pss", 1e6),
    "max_peak_pss_bytes": Kind("peak memory", "bytes", "peak_pss"),
    "max_energy_j": Kind("energy", "J", "energy"),
    "max_size_mb": Kind("size", "MB", "size", 1e6),
    "max_size_bytes": Kind("size", "bytes", "size"),
    "min_throughput_per_s": Kind("throughput", "inputs/s", "throughput", is_floor=True),
}
_DEVICE = "device"


@dataclass(frozen=True, slots=True)
class Limit:
    """One budget of a test; `device`: the board that it is for, None: all."""

    key: str
    value: float
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a measurement says of a limit, and a sentence about it."""

    verdict: GateVerdict
    sentence: str


def limits_of(marker: pytest.Mark, *, where: str) -> list[Limit]:
    """Return the budgets of a marker.

    Raises:
        pytest.UsageError: a key is unknown, or a value is no number above 0.
    """
    if marker.args:
        raise pytest.UsageError(f"{where}: the marker edge takes keys, such as max_p95_ms=120, not {marker.args[0]!r}")
    device = marker.kwargs.get(_DEVICE)
    if device is not None and not isinstance(device, str):
        raise pytest.UsageError(f"{where}: device of the marker edge is a board's name, not {device!r}")
    found = []
    for key, value in marker.kwargs.items():
        if key == _DEVICE:
            continue
        if key not in KINDS:
            unknown = UnknownName("key of the marker edge", key, [*KINDS, _DEVICE])
            raise pytest.UsageError(f"{where}: {unknown}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise pytest.UsageError(f"{where}: {key} must be a number above 0, got {value!r}")
        found.append(Limit(key, float(value), device))
    if not found:
        raise pytest.UsageError(f"{where}: the marker edge has no budget; try max_p95_ms=120")
    return found


def limits_for(item: pytest.Item, device: str) -> list[Limit]:
    """Return the budgets of a test for a board: of markers with the same key, the closest to the test."""
    found: dict[str, Limit] = {}
    for marker in item.iter_markers("edge"):
        for limit in limits_of(marker, where=item.nodeid):
            if limit.device in (None, device):
                found.setdefault(limit.key, limit)
    return list(found.values())


def judge_limit(limit: Limit, measurement: Measurement) -> Finding:
    """Return what a measurement says of a limit.

    Pass: the one-sided 95 % bound of the figure lies within the limit. Fail: the two-sided 95 % interval lies beyond
    it. Else undecided, as where the measurement is not valid, or the figure was not measured in two valid runs.
    """
    from edgebench.gating import GateVerdict
    from edgebench.gating.rules import bounds_of, judge, mean_against

    kind = KINDS[limit.key]
    if not measurement.valid:
        reasons = "; ".join(printable(str(reason)) for reason in measurement.reasons)
        return Finding(GateVerdict.UNDECIDED, f"undecided: {kind.title}: the measurement is not valid: {reasons}")
    if kind.metric == "size":
        return _judge_size(limit, kind, measurement)
    figures = _figures(kind, measurement)
    # A floor is a ceiling of the inverse.
    sign = -1 if kind.is_floor else 1
    found = mean_against([figure**sign for figure in figures], limit.value**sign)
    if found is None:
        return Finding(GateVerdict.UNDECIDED, f"undecided: {kind.title} was not measured{_why(kind, measurement)}")
    verdict, bounds = judge(found, margin=0.0, alpha=_ALPHA), bounds_of(found, alpha=_ALPHA)

    def shown(ratio: float) -> str:
        return _number(limit.value * ratio**sign)

    value, bound = shown(bounds.ratio), shown(bounds.upper)
    low, high = (shown(each) for each in bounds.interval[::sign])
    limited = f"{_number(limit.value)} {kind.unit}"
    side, within, beyond = ("lower", "above", "below") if kind.is_floor else ("upper", "within", "above")
    match verdict:
        case GateVerdict.PASS:
            said = f"{value} {kind.unit} (95 % {side} bound {bound}) is {within} {limited}"
        case GateVerdict.FAIL:
            said = f"{value} {kind.unit} is {beyond} {limited} (95 % interval {low} to {high}, {len(figures)} runs)"
        case _:
            said = (
                f"{value} {kind.unit} is too near to {limited} (95 % interval {low} to {high}, {len(figures)} runs); "
                "more runs may decide it"
            )
    return Finding(verdict, f"{_WORDS[verdict]}: {kind.title} {said}")


_WORDS = {"pass": "passed", "fail": "failed", "undecided": "undecided"}


def _judge_size(limit: Limit, kind: Kind, measurement: Measurement) -> Finding:
    """Return whether the files are small enough; their size is exact."""
    from edgebench.gating import GateVerdict

    size = measurement.subject.artifact.bytes / kind.scale
    verdict = GateVerdict.PASS if size <= limit.value else GateVerdict.FAIL
    said = "is within" if verdict is GateVerdict.PASS else "is above"
    return Finding(
        verdict, f"{_WORDS[verdict]}: size {_number(size)} {kind.unit} {said} {_number(limit.value)} {kind.unit}"
    )


def _number(value: float) -> str:
    return f"{value:.4g}" if value < 1e4 else f"{value:,.0f}"


def _figures(kind: Kind, measurement: Measurement) -> Sequence[float]:
    """Return the figure of each valid run that has one, in the unit of the limit."""
    from edgebench.analysis import P50, P99, THROUGHPUT, run_figures
    from edgebench.gating.metrics import Metric, figures_in_unit

    others: dict[str, Callable[[], list[float]]] = {
        "p50": lambda: [float(each) / 1e6 for each in run_figures(P50, measurement)],
        "p99": lambda: [float(each) / 1e6 for each in run_figures(P99, measurement)],
        "throughput": lambda: [float(each) for each in run_figures(THROUGHPUT, measurement)],
    }
    found = others[kind.metric]() if kind.metric in others else figures_in_unit(Metric(kind.metric), measurement)
    return [figure / kind.scale for figure in found]


def _why(kind: Kind, measurement: Measurement) -> str:
    if kind.metric == "energy" and measurement.energy_absent:
        return f": {printable(measurement.energy_absent)}"
    return " in two valid runs; give it more runs, or runs more inferences"
