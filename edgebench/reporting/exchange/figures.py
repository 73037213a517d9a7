"""The figures of a measurement that other tools take, in one table: names, units, which direction is better."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from edgebench.measurement import Measurement

Interval = tuple[float, float]


class Unit(StrEnum):
    """Of a figure, as results have it. The value is the ending of a name that carries the unit."""

    MS = "ms"
    BYTES = "bytes"
    JOULES = "joules"
    WATTS = "watts"
    CELSIUS = "celsius"
    PER_SECOND = "per_second"


class Better(StrEnum):
    """Which values are better."""

    SMALLER = "smaller"
    BIGGER = "bigger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure. `name`: words with hyphens. `interval`: two-sided, 95 %. `better` None: neither, a condition."""

    name: str
    unit: Unit
    value: float
    better: Better | None
    interval: Interval | None = None

    @property
    def text(self) -> str:
        """The name as people read it."""
        return self.name.replace("-", " ").replace("pss", "PSS").replace("rss", "RSS")

    @property
    def key(self) -> str:
        """The name with its unit, as a column or key."""
        unit = f"_{self.unit}"
        name = self.name.replace("-", "_")
        return name if name.endswith(unit) else name + unit


_Read = Callable[[Measurement], float | None]
_ReadInterval = Callable[[Measurement], Interval | None]


def _no_interval(_: Measurement) -> None:
    return None


def _cold(name: str) -> _Read:
    def read(measurement: Measurement) -> float | None:
        start = measurement.cold_start
        took_ns = getattr(start, name) if start is not None and start.is_cold else None
        return None if took_ns is None else took_ns / 1e6

    return read


def _energy(name: str) -> _Read:
    def read(measurement: Measurement) -> float | None:
        return getattr(measurement.energy_j, name) if measurement.energy_j is not None else None

    return read


_SMALLER, _BIGGER = Better.SMALLER, Better.BIGGER
_ROWS: tuple[tuple[str, Unit, Better | None, _Read, _ReadInterval], ...] = (
    ("latency-p50", Unit.MS, _SMALLER, lambda m: m.latency_ms.p50, lambda m: m.latency_ms.p50_ci),
    ("latency-p90", Unit.MS, _SMALLER, lambda m: m.latency_ms.p90, lambda m: m.latency_ms.p90_ci),
    ("latency-p95", Unit.MS, _SMALLER, lambda m: m.latency_ms.p95, lambda m: m.latency_ms.p95_ci),
    ("latency-p99", Unit.MS, _SMALLER, lambda m: m.latency_ms.p99, lambda m: m.latency_ms.p99_ci),
    ("latency-geomean", Unit.MS, _SMALLER, lambda m: m.latency_ms.geomean, lambda m: m.latency_ms.geomean_ci),
    ("latency-mean", Unit.MS, _SMALLER, lambda m: m.latency_ms.mean, _no_interval),
    ("throughput", Unit.PER_SECOND, _BIGGER, lambda m: m.throughput_per_s, _no_interval),
    ("tokens", Unit.PER_SECOND, _BIGGER, lambda m: m.tokens_per_s, _no_interval),
    ("load", Unit.MS, _SMALLER, lambda m: m.load_ms, _no_interval),
    ("first-inference", Unit.MS, _SMALLER, lambda m: m.first_ms, _no_interval),
    ("cold-load", Unit.MS, _SMALLER, _cold("load_ns"), _no_interval),
    ("cold-first-inference", Unit.MS, _SMALLER, _cold("first_ns"), _no_interval),
    ("peak-rss", Unit.BYTES, _SMALLER, lambda m: m.memory_bytes.peak_rss, _no_interval),
    ("peak-pss", Unit.BYTES, _SMALLER, lambda m: m.memory_bytes.peak_pss, _no_interval),
    ("file-size", Unit.BYTES, _SMALLER, lambda m: m.subject.artifact.bytes, _no_interval),
    ("energy-per-inference", Unit.JOULES, _SMALLER, _energy("per_inference"), _no_interval),
    ("power-mean", Unit.WATTS, None, _energy("mean_w"), _no_interval),
    ("temperature-max", Unit.CELSIUS, None, lambda m: (m.temperature_c or {}).get("max"), _no_interval),
)


def figures_of(measurement: Measurement) -> tuple[Figure, ...]:
    """Return what was measured; a figure that was not is left out."""
    found = []
    for name, unit, better, read, read_interval in _ROWS:
        value, interval = read(measurement), read_interval(measurement)
        if value is not None and math.isfinite(value):
            is_known = interval is not None and all(map(math.isfinite, interval))
            found.append(
                Figure(name=name, unit=unit, value=value, better=better, interval=interval if is_known else None)
            )
    return tuple(found)


def scaled(value: float, factor: float) -> float:
    """Return the product without the last digits, which are the rounding's: 41.2 ms are 0.0412 s."""
    return float(f"{value * factor:.14g}")
