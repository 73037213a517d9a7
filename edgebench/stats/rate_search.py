"""The search for the highest rate at which a server keeps its p99 under a bound: what was probed, and what comes next.

Nothing but the probes decides, so a search that was interrupted goes on from the ones that were kept.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

#: Neighbouring rates, one that holds and one that does not, are searched no closer than this.
RESOLUTION = 0.05
#: By how much a rate is lowered that planned runs did not confirm.
LOWERED_BY = 0.10
_LOWEST = 1 / 70  # of the rate at which a server has no time left
_MOST_LOWERED = 5  # times that runs did not confirm a rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What became of one rate. `runs`: how many (0: one run for the search alone, kept in no store).

    `holds`: the queue does not grow, and of planned runs: p99 is within the bound at 99 % confidence, although queries
    that wait are correlated (`queue_bound_holds`). Of a probe, which only guides the search: so few queries are over
    the bound that independent ones would show it (`percentile_bound_holds`). `utilisation`: which part of its time the
    server needs; from 1 on the queue grows. `reasons`: why it should not be trusted.
    """

    queries_per_s: float
    queries: int
    over_bound: int
    p99_ms: float | None
    holds: bool
    utilisation: float | None = None
    runs: int = 0
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSearch:
    """A bound, the time that a query takes where none waits (p50), and what was probed so far.

    `settled`: no rate is probed any more, because the time that is left is needed to confirm one. `out_of_time`: the
    budget ended before a rate was confirmed.
    """

    latency_bound_ms: float
    service_ms: float
    probes: tuple[Probe, ...] = ()
    settled: bool = False
    out_of_time: bool = False

    @property
    def limit_qps(self) -> float:
        """The rate that leaves no time between two queries: nothing can be served faster, one at a time."""
        return 1000 / self.service_ms

    @property
    def qps(self) -> float | None:
        """The rate that planned runs have confirmed; None before, and where there is none."""
        return next((probe.queries_per_s for probe in self.probes if probe.runs and probe.holds), None)

    def next_rate(self) -> float | None:
        """Return the rate to probe next; None once the search has ended, or has found that no rate holds."""
        if self.settled:
            return None
        low, high = self._bracket()
        if low is None:
            return _sayable(high / 2) if high / 2 >= self.limit_qps * _LOWEST else None
        return _sayable(math.sqrt(low * high)) if high / low > 1 + RESOLUTION else None

    def candidate(self) -> float | None:
        """Return the rate for runs to confirm, once the search has ended: what held, less each time it did not."""
        low, _ = self._bracket()
        if low is None or self.times_lowered > _MOST_LOWERED:
            return None
        return _sayable(low / (1 + LOWERED_BY) ** self.times_lowered)

    @property
    def times_lowered(self) -> int:
        """How often the planned runs did not confirm a rate."""
        return sum(probe.runs > 0 and not probe.holds for probe in self.probes)

    @property
    def bracket(self) -> tuple[float | None, float]:
        """The highest rate that held in a probe (None: none did), and the lowest that did not, or that can't hold."""
        return self._bracket()

    @property
    def probes_left(self) -> int:
        """How many more probes the search takes if no rate below half of the highest must be tried; an estimate."""
        if self.next_rate() is None:
            return 0
        low, high = self._bracket()
        ratio = high / low if low is not None else 2.0
        return max(1, math.ceil(math.log2(math.log(ratio) / math.log(1 + RESOLUTION)))) + (low is None)

    def _bracket(self) -> tuple[float | None, float]:
        """Return the highest rate that holds, and the lowest that does not.

        A probe that should not be trusted counts once it was made again.
        """
        trusted: list[Probe] = []
        doubtful: set[float] = set()
        for probe in self.probes:
            if not probe.runs and (not probe.reasons or probe.queries_per_s in doubtful):
                trusted.append(probe)
            doubtful.add(probe.queries_per_s)
        high = min((probe.queries_per_s for probe in trusted if not probe.holds), default=self.limit_qps)
        low = max((probe.queries_per_s for probe in trusted if probe.holds), default=None)
        return low, high

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with what they amount to."""
        return {
            "latency_bound_ms": self.latency_bound_ms,
            "percentile": 99,
            "qps": self.qps,
            "resolution": RESOLUTION,
            "service_ms": self.service_ms,
            "limit_qps": self.limit_qps,
            "bracket": list(self._bracket()),
            "settled": self.settled,
            "out_of_time": self.out_of_time,
            "probes": [asdict(probe) | {"reasons": list(probe.reasons)} for probe in self.probes],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RateSearch:
        """Return the search that `to_json` described.

        Raises:
            KeyError, TypeError, ValueError: it is not one.
        """
        service_ms = float(values["service_ms"])
        if not service_ms > 0:
            raise ValueError(f"service_ms {service_ms:g}")
        return cls(
            latency_bound_ms=float(values["latency_bound_ms"]),
            service_ms=service_ms,
            probes=tuple(Probe(**probe | {"reasons": tuple(probe["reasons"])}) for probe in values["probes"]),
            settled=bool(values.get("settled", False)),
            out_of_time=bool(values.get("out_of_time", False)),
        )


def _sayable(rate: float) -> float:
    """Return the rate with four digits, so that what is said of it is what was measured."""
    return float(f"{rate:.4g}")
