"""Run and Measurement: what was measured, exactly as it will be kept.

A Run is one fresh agent process; a Measurement is the Runs that share variant, artifact, device and workload.
Everything inside is in integer nanoseconds and bytes; `to_json` gives the units of `schemas/profile.schema.json`.
What was not measured is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from edgebench._version import __version__
from edgebench.artifact import Artifact
from edgebench.operators import OperatorProfile
from edgebench.stats.rate_search import RateSearch
from edgebench.variant import Variant

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Version of run.json and of the JSON results. Older ones stay readable.
FORMAT_VERSION = 1

_MS = 1e6  # nanoseconds in a millisecond
_COLD_SHARE = 0.05  # of a model's bytes that may be in memory at a cold start


@dataclass(frozen=True, slots=True)
class Series:
    """One sensor over time. t_ns, values: shape (readings,), int64; `t_ns` on the board's monotonic clock."""

    t_ns: NDArray[np.int64]
    values: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Everything raw that came back from one run.

    latencies_ns, starts_ns, items, and their warm-up counterparts: shape (inferences,), int64; `items` is the
    position of the batch that was run. `readings` by sensor name; names carry units (`temperature_mc/cpu`).
    """

    starts_ns: NDArray[np.int64]
    latencies_ns: NDArray[np.int64]
    items: NDArray[np.int64]
    warmup_starts_ns: NDArray[np.int64]
    warmup_latencies_ns: NDArray[np.int64]
    warmup_items: NDArray[np.int64]
    readings: Mapping[str, Series] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory of the measuring process, bytes. RSS counts shared pages whole, PSS its share of them.

    `peak_rss` is the kernel's own high-water mark. `peak_pss` is the highest of the readings at the borders of phases
    (PSS takes a lock to read, so it is never read while something is timed): what loading needs for a moment shows in
    RSS only.
    """

    peak_rss: int | None = None
    peak_pss: int | None = None
    before_load: int | None = None  # RSS, runtime imported
    after_load: int | None = None  # RSS


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """What comparisons need of a run, of one input where it says energy.

    None: too few inferences for it, or no sensor. `rails`: whose power was added up.
    """

    p50_ns: float | None = None
    p95_ns: float | None = None
    throughput_per_s: float | None = None
    energy_j: float | None = None
    rails: tuple[str, ...] | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunFigures:
        """Return what `dataclasses.asdict` became in JSON."""
        rails = values.get("rails")
        return cls(**{**values, "rails": tuple(rails) if rails is not None else None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One fresh process that measured one artifact under one workload.

    `facts` is what the agent said of itself and the board: runtime, versions, providers, nodes by provider.
    `reasons` says why a run is not valid; empty if it is valid. `excluded_spans`: [begin, end) in nanoseconds on the
    board's clock; inferences that start inside are excluded from every figure, because other processes kept the
    board busy. The trace still contains them.

    Several models may alternate in one process (`facts["alternating"]`): then each has a Run of its own, whose n-th
    inference is of the same input as the n-th inference of the others. `log_ratios`: by the id of each other run, the
    median over these inferences of log(latency here / latency there).
    """

    id: str
    started_at: str  # the host's clock, UTC, ISO 8601
    trace: Trace
    load_ns: int | None
    first_ns: int | None
    memory: Memory
    facts: Mapping[str, Any]
    tokens: int  # real tokens, without padding, in the timed inferences
    inferences: int  # inputs in the timed inferences: count times batch, less a short last batch
    reasons: tuple[str, ...] = ()
    excluded_spans: tuple[tuple[int, int], ...] = ()
    figures: RunFigures | None = None  # of a run that was read without its trace; see `figures_of`
    log_ratios: Mapping[str, float] = field(default_factory=dict)

    @property
    def valid(self) -> bool:
        """Whether it counts."""
        return not self.reasons

    @property
    def process(self) -> str:
        """The id of the process that measured it, the same for runs of models that alternate."""
        told = self.facts.get("alternating")
        return str(told["process"]) if isinstance(told, Mapping) else self.id

    @property
    def alternates(self) -> bool:
        """Whether other models had their inferences between those of this run."""
        return "alternating" in self.facts

    @property
    def is_excluded(self) -> NDArray[np.bool_]:
        """Shape (inferences,): whether each timed inference was cut."""
        import numpy as np

        starts = self.trace.starts_ns
        found = np.zeros(len(starts), bool)
        for began, ended in self.excluded_spans:
            found |= (starts >= began) & (starts < ended)
        return found

    @property
    def latencies_ns(self) -> NDArray[np.int64]:
        """Shape (inferences,), int64: every timed inference, in order."""
        return self.trace.latencies_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """The overhead of edgebench itself on a board, in microseconds; measured before the runs.

    `per_inference` is in every latency: what is read of an inference that takes no time. `loop_per_inference`: from the
    start of such a one to the next, with keeping what was measured; sending it, twice a second, comes between.
    `sensors_ratio`: the mean time of inferences on all cores while the sensors are read, to that while they are not.
    Each `*_ci` is a two-sided 95 % interval over runs.
    """

    per_inference: float
    per_inference_ci: tuple[float, float] | None
    loop_per_inference: float
    loop_per_inference_ci: tuple[float, float] | None
    sensors_ratio: float | None = None
    sensors_ratio_ci: tuple[float, float] | None = None

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Overhead:
        """Return what `asdict` made plain, intervals as lists."""
        plain: dict[str, Any] = {name: tuple(it) if isinstance(it, list) else it for name, it in values.items()}
        return Overhead(**plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the runs of a Measurement share."""

    id: str  # of the measurement
    session: str
    variant: Variant
    artifact: Artifact
    device: Mapping[str, Any]  # name, profile, model, arch, cores ...; see `device` in schemas/common.schema.json
    workload: Mapping[str, Any]  # Workload.to_json()
    label: str  # the workload in a few characters, for a table
    planned_runs: int
    looks: int = 1  # how often the data were planned to be looked at before the last run
    overhead_us: Overhead | None = None  # None: it could not be measured, or by an older edgebench
    seed: int | None = None  # of the order in which the session's runs were made

    @property
    def alternates_with(self) -> tuple[str, ...]:
        """The hashes of the model files that alternated in each of its runs, its own included; else empty."""
        return tuple(map(str, self.workload.get("alternating", ())))


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySummary:
    """Milliseconds over the valid runs; a percentile is None where too few inferences stand behind it.

    Inputs of different lengths count equally: only whole turns of them enter. Each `*_ci` is a two-sided 95 % interval
    from the per-run quantiles; None for fewer than two runs.
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
    p50_ci: tuple[float, float] | None = None
    p90_ci: tuple[float, float] | None = None
    p95_ci: tuple[float, float] | None = None
    p99_ci: tuple[float, float] | None = None

    def to_json_of_run(self) -> dict[str, float | None]:
        """Return the figures that one run alone can have: all but the intervals."""
        return {name: value for name, value in asdict(self).items() if not name.endswith("_ci")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One metric of one task in one language, 0..100. `artifact_sha256` None: of the variant, not of this file."""

    task: str
    lang: str
    metric: str
    value: float
    n: int | None = None
    artifact_sha256: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaddingCost:
    """Tokens of a typical inference: those of its inputs, and those that the model works on after padding.

    `buckets`: the lengths that the model is made for; empty where inputs are padded to the longest of their batch.
    """

    buckets: tuple[int, ...]
    tokens: float
    padded_tokens: float

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

    `resident_share`: the part of them that was in memory all the same; None where the board can't tell.
    """

    load_ns: int | None
    first_ns: int | None
    resident_share: float | None

    @property
    def is_cold(self) -> bool:
        """Whether it was one: some file systems keep their files in memory, and some kernels tell nothing."""
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
    tell of this minute. `others_cores`: what other processes used, in cores.
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
    inferences were timed. `runs`: how many it is the mean of.
    """

    per_inference: float
    per_inference_net: float | None
    mean_w: float
    idle_w: float | None
    rails: tuple[str, ...]
    covers: str
    runs: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"rails": list(self.rails)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The runs of one artifact on one device under one workload, and what they amount to.

    Built by `edgebench.analysis.summary.summarise`; only valid runs enter the figures.
    """

    subject: Subject
    runs: tuple[Run, ...]
    latency_ms: LatencySummary
    run_latency_ms: tuple[LatencySummary, ...]  # of each of `runs`, without intervals
    throughput_per_s: float | None
    throughput_windows: tuple[float, ...]
    tokens_per_s: float | None
    load_ms: float | None
    first_ms: float | None
    memory_bytes: Memory
    temperature_c: Mapping[str, float] | None
    reasons: tuple[str, ...] = ()
    covers: str = "model only"
    scores: tuple[Score, ...] = ()
    padding: PaddingCost | None = None
    operators: OperatorProfile | None = None  # of an extra run that doesn't count
    sustained: Sustained | None = None  # where it is one long run
    cold_start: ColdStart | None = None  # of an extra run; load_ms and first_ms are of a warm one
    find_qps: RateSearch | None = None  # how a server's rate was found
    energy_j: Energy | None = None
    energy_absent: str | None = None  # why there is no energy

    @property
    def id(self) -> str:
        """The measurement's id in the store."""
        return self.subject.id

    @property
    def overhead_us(self) -> Overhead | None:
        """What edgebench itself cost on the board."""
        return self.subject.overhead_us

    @property
    def valid(self) -> bool:
        """Whether the figures can be trusted; `reasons` says why not."""
        return not self.reasons

    def to_json(self) -> dict[str, Any]:
        """Return one entry of `measurements` in `profile --json`; latencies themselves stay in the store."""
        subject = self.subject
        return {
            "id": subject.id,
            "variant": subject.variant.to_json(),
            "artifact": subject.artifact.to_result(),
            "device": dict(subject.device),
            "workload": dict(subject.workload),
            "schedule": {"planned_runs": subject.planned_runs, "looks": subject.looks, "seed": subject.seed},
            "runs": [_run_to_json(run, of_run) for run, of_run in zip(self.runs, self.run_latency_ms, strict=True)],
            "latency_ms": asdict(self.latency_ms),
            "throughput_per_s": self.throughput_per_s,
            "throughput_windows": list(self.throughput_windows),
            "tokens_per_s": self.tokens_per_s,
            "padding": self.padding.to_json() if self.padding is not None else None,
            "load_ms": self.load_ms,
            "first_ms": self.first_ms,
            "cold": self.cold_start.to_json() if self.cold_start is not None and self.cold_start.is_cold else None,
            "covers": self.covers,
            "memory_bytes": asdict(self.memory_bytes),
            "temperature_c": dict(self.temperature_c) if self.temperature_c is not None else None,
            "energy_j": self.energy_j.to_json() if self.energy_j is not None else None,
            "energy_absent": self.energy_absent,
            "overhead_us": asdict(self.overhead_us) if self.overhead_us is not None else None,
            "validity": {"valid": self.valid, "reasons": list(self.reasons)},
            "operators": self.operators.to_json() if self.operators is not None else None,
            "sustained": self.sustained.to_json() if self.sustained is not None else None,
            "find_qps": self.find_qps.to_json() if self.find_qps is not None else None,
            "scores": [asdict(score) for score in self.scores],
        }


#: Facts that are in the measurement's "device" already, or are there to work out figures with.
_FACTS_LEFT_OUT = ("board", "batch_tokens", "batch_padded_tokens", "batch_sizes")


def _run_to_json(run: Run, latency_ms: LatencySummary) -> dict[str, Any]:
    return {
        "id": run.id,
        "valid": run.valid,
        "reasons": list(run.reasons),
        "latencies_count": len(run.latencies_ns),
        "cut_count": int(run.is_excluded.sum()),
        "latency_ms": latency_ms.to_json_of_run(),
        "inferences": run.inferences,
        "tokens": run.tokens,
        "load_ms": run.load_ns / _MS if run.load_ns is not None else None,
        "first_ms": run.first_ns / _MS if run.first_ns is not None else None,
        "peak_rss_bytes": run.memory.peak_rss,
        "peak_pss_bytes": run.memory.peak_pss,
        "started_at": run.started_at,
        "facts": {name: value for name, value in run.facts.items() if name not in _FACTS_LEFT_OUT},
    }


def measurements_to_json(
    measurements: list[Measurement], *, failures: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the document that `profile --json` writes; `failures`: why boards ended early, by their names."""
    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "edgebench_version": __version__,
        "measurements": [measurement.to_json() for measurement in measurements],
    }
    if failures is not None:
        document["failures"] = [{"device": device, "error": error} for device, error in failures.items()]
    return document
