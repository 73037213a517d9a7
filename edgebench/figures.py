"""What the runs of a measurement amount to, figure by figure, in the units of the JSON results."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

_MS = 1e6  # nanoseconds in a millisecond
_COLD_SHARE = 0.05  # of a model's bytes that may be in memory at a cold start


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySummary:
    """Milliseconds over the valid runs; a percentile is None where too few inferences stand behind it.

    Inputs of different lengths count equally: only complete passes over them enter. `geomean`: the geometric mean over
    inputs of each input's median latency. It and the percentiles are the typical run's (the geometric mean over runs),
    and each `*_ci` is a two-sided 95 % interval of the same, from one figure a run; None for fewer than two runs. Where
    a run alone has too few inferences for a percentile, it is that of all runs' latencies together, without an
    interval. `mean`, `min` and `max` are over all latencies.
    """

    mean: float | None = None
    min: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p97: float | None = None
    p99: float | None = None
    p999: float | None = None
    max: float | None = None
    geomean: float | None = None
    geomean_ci: tuple[float, float] | None = None
    p50_ci: tuple[float, float] | None = None
    p90_ci: tuple[float, float] | None = None
    p95_ci: tuple[float, float] | None = None
    p99_ci: tuple[float, float] | None = None

    def to_json_of_run(self) -> dict[str, float | None]:
        """Return the figures that one run alone can have: all but the intervals."""
        return {name: value for name, value in asdict(self).items() if not name.endswith("_ci")}


@dataclass(frozen=True, slots=True, kw_only=True)
class MlperfLatency:
    """The figure that MLPerf Inference reports for a scenario of latency, by LoadGen's early-stopping estimate.

    `percentile`: 90 (single-stream) or 99 (multi-stream). It is at most `at_most_ms` with 99 % confidence, if latencies
    are independent. `queries`: of all valid runs together; so many as `over` took longer.
    """

    percentile: int
    at_most_ms: float
    queries: int
    over: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One metric of one task in one language, 0..100. `artifact_sha256` None: of the variant, not of this file.

    `caveats`: why the figure may not mean what it seems to mean, a sentence each (see `xtreme_r.caveats`).
    """

    task: str
    lang: str
    metric: str
    value: float
    n: int | None = None
    artifact_sha256: str | None = None
    source: str | None = None
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PaddingCost:
    """Tokens of a typical inference: those of its inputs, and those that the model works on after padding.

    `buckets`: the lengths that the model is made for; empty where inputs are padded to the longest of their batch.
    `rows`: how many examples the model takes at a time, to which batches are filled up; 0: any number.
    """

    buckets: tuple[int, ...]
    tokens: float
    padded_tokens: float
    rows: int = 0

    @property
    def cost(self) -> float:
        """How many times as many tokens the model works on as there are."""
        return self.padded_tokens / self.tokens

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"buckets": list(self.buckets), "cost": self.cost}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStart:
    """A process of its own that loaded the model and inferred once, its files dropped from the page cache before.

    `resident_share`: the part of them that was in memory all the same; None where the board does not report it.
    """

    load_ns: int | None
    first_ns: int | None
    resident_share: float | None

    @property
    def is_cold(self) -> bool:
        """Whether it was one: some file systems keep their files in memory, and some kernels report nothing."""
        return self.resident_share is not None and self.resident_share <= _COLD_SHARE

    def to_json(self) -> dict[str, Any]:
        """Return what the JSON has of it where it was cold."""
        return {
            "load_ms": self.load_ns / _MS if self.load_ns is not None else None,
            "first_ms": self.first_ns / _MS if self.first_ns is not None else None,
            "resident_share": self.resident_share,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """One minute of a sustained run, or what was left in the end; what was not measured is None.

    `throughput_per_s`: inputs. `clock_mhz`: the mean of the fastest core's. `throttled`: what a Raspberry Pi's flags
    report of this minute. `others_cores`: what other processes used, in cores.
    """

    number: int  # from 1
    seconds: float
    inferences: int
    p50_ms: float | None
    p95_ms: float | None
    throughput_per_s: float
    clock_mhz: float | None
    temperature_c: float | None  # the highest
    throttled: tuple[str, ...] | None
    others_cores: float | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"throttled": list(self.throttled) if self.throttled is not None else None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sustained:
    """A long run minute by minute, throttling and all: its own kind of result, never compared with another."""

    planned_min: float
    minutes: tuple[Minute, ...]

    @property
    def first_to_last_ratio(self) -> float | None:
        """The last minute's p50 as a multiple of the first one's; None for fewer than two minutes."""
        if len(self.minutes) < 2:
            return None
        first, last = self.minutes[0].p50_ms, self.minutes[-1].p50_ms
        return last / first if first and last is not None else None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "planned_min": self.planned_min,
            "minutes": [minute.to_json() for minute in self.minutes],
            "first_to_last_ratio": self.first_to_last_ratio,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Joules of one inference (of one input), with all that the board takes meanwhile, and net of its idle power.

    `rails`: whose power was added up; `covers`: what these are. None: the idle power was not measured. `mean_w`: while
    inferences were timed. `runs`: how many it is the mean of. `averaging_s`: over what time the power sensor averages;
    None: that is not known.
    """

    per_inference: float
    per_inference_net: float | None
    mean_w: float
    idle_w: float | None
    rails: tuple[str, ...]
    covers: str
    runs: int = 1
    averaging_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"rails": list(self.rails)}
