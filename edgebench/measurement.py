"""Measurement: the runs that share variant, artifact, device and workload, what they amount to, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgebench._version import __version__
from edgebench.artifact import Artifact
from edgebench.errors import StoreError
from edgebench.facts import DeviceFacts
from edgebench.figures import ColdStart, Energy, LatencySummary, MlperfLatency, PaddingCost, Score, Sustained
from edgebench.operators import OperatorProfile
from edgebench.prediction import Prediction, relative_error
from edgebench.reason import Reason, ReasonCode, State, joined, texts_of
from edgebench.run import Memory, Overhead, Run
from edgebench.serialisation import from_plain
from edgebench.stats import RateSearch
from edgebench.text import counted, printable, significant
from edgebench.variant import Variant

#: Version of run.json and of the JSON results. Older ones stay readable.
FORMAT_VERSION = 1

_MS = 1e6  # nanoseconds in a millisecond
_NOT_JUDGED = Reason(
    ReasonCode.NOT_JUDGED,
    "its runs are too short to be judged; a run needs a second, 20 inferences and 3 passes over its inputs",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncation:
    """How many of a measurement's inputs were longer than the model allows, and were cut to `to_tokens`."""

    inputs: int
    of: int
    to_tokens: int

    @classmethod
    def from_json(cls, values: Any) -> Truncation:
        """Return what plain values describe.

        Raises:
            StoreError: the values are not valid.
        """
        return from_plain(cls, values, where="truncated", error=StoreError, allow_unknown=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the runs of a Measurement share."""

    id: str  # of the measurement
    session: str
    variant: Variant
    artifact: Artifact
    device: DeviceFacts
    workload: Mapping[str, Any]  # Workload.to_json()
    label: str  # the workload in a few characters, for a table
    planned_runs: int
    looks: int = 1  # how often the data were planned to be looked at before the last run
    overhead_us: Overhead | None = None  # None: it could not be measured, or by an older edgebench
    seed: int | None = None  # of the order in which the session's runs were made
    truncated: Truncation | None = None  # None: no input was cut
    extends: str | None = None  # the measurement of an earlier session that this one repeats with other runs
    prediction: Prediction | None = None  # of its memory, before it was pushed; None: not predicted

    def __repr__(self) -> str:
        return printable(f"<Subject {self.id}: {self.text}>")

    @property
    def text(self) -> str:
        """What was measured, in a few words."""
        return f"{self.variant.name} {self.artifact.format} on {self.device.name}, {self.label}"

    @property
    def variant_and_format(self) -> str:
        """The variant and the format, as sentences name a measurement."""
        return f"{self.variant.name} {self.artifact.format}"

    @property
    def alternates_with(self) -> tuple[str, ...]:
        """The hashes of the model files that alternated in each of its runs, its own included; else empty."""
        return tuple(map(str, self.workload.get("alternating", ())))


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
    reasons: tuple[Reason, ...] = ()
    covers: str = "model only"
    scores: tuple[Score, ...] = ()
    padding: PaddingCost | None = None
    operators: OperatorProfile | None = None  # of an extra run that doesn't count
    sustained: Sustained | None = None  # where it is one long run
    cold_start: ColdStart | None = None  # of an extra run; load_ms and first_ms are of a warm one
    find_qps: RateSearch | None = None  # how a server's rate was found
    mlperf: MlperfLatency | None = None  # where the scenario is MLPerf's and its result a latency
    energy_j: Energy | None = None
    energy_absent: str | None = None  # why there is no energy
    tags: tuple[str, ...] = ()  # what a user gave it, sorted

    def __repr__(self) -> str:
        latency, subject = self.latency_ms, self.subject
        p50 = "no p50" if latency.p50 is None else f"p50 {significant(latency.p50)} ms"
        if latency.p50 is not None and latency.p50_ci is not None:
            p50 += f" ({significant(latency.p50_ci[0])} to {significant(latency.p50_ci[1])})"
        reasons = f" ({joined(self.doubts)})" if self.doubts else ""
        what = f"{p50}, {counted(len(self.runs), 'run')}, {self.state}{reasons}"
        return printable(f"<Measurement {self.id}: {subject.text}: {what}>")

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
        """Whether nothing speaks against the figures; `reasons` says what does. See `state`, too."""
        return not self.reasons

    @property
    def state(self) -> State:
        """Whether the figures can be trusted: valid only if all runs that they come from were judged."""
        if self.reasons:
            return State.NOT_VALID
        is_judged = all(run.state is not State.NOT_JUDGED for run in self.runs)
        return State.VALID if is_judged else State.NOT_JUDGED

    @property
    def doubts(self) -> tuple[Reason, ...]:
        """Why the figures can't be trusted, or why that is not known; empty: they are valid."""
        return (_NOT_JUDGED,) if self.state is State.NOT_JUDGED else self.reasons

    @property
    def peak_rss_error(self) -> float | None:
        """How far the predicted peak of memory is from the measured one, as a ratio; None: one of them is missing."""
        predicted = self.subject.prediction
        return relative_error(predicted.peak_rss_bytes if predicted else None, self.memory_bytes.peak_rss)

    def _prediction(self) -> dict[str, Any] | None:
        predicted = self.subject.prediction
        return predicted.to_json() | {"peak_rss_error_ratio": self.peak_rss_error} if predicted is not None else None

    def to_json(self) -> dict[str, Any]:
        """Return one entry of `measurements` in `profile --json`; latencies themselves stay in the store."""
        subject = self.subject
        return {
            "id": subject.id,
            "variant": subject.variant.to_json(),
            "artifact": subject.artifact.to_result(),
            "device": subject.device.to_json(),
            "workload": dict(subject.workload),
            "truncated": asdict(subject.truncated) if subject.truncated is not None else None,
            "schedule": {
                "planned_runs": subject.planned_runs,
                "looks": subject.looks,
                "seed": subject.seed,
                "extends": subject.extends,
            },
            "runs": [_run_to_json(run, of_run) for run, of_run in zip(self.runs, self.run_latency_ms, strict=True)],
            "latency_ms": asdict(self.latency_ms),
            "interval_of": "session",  # no interval here says how far another session may lie
            "mlperf": asdict(self.mlperf) if self.mlperf is not None else None,
            "throughput_per_s": self.throughput_per_s,
            "throughput_windows": list(self.throughput_windows),
            "tokens_per_s": self.tokens_per_s,
            "padding": self.padding.to_json() if self.padding is not None else None,
            "load_ms": self.load_ms,
            "first_ms": self.first_ms,
            "cold": self.cold_start.to_json() if self.cold_start is not None and self.cold_start.is_cold else None,
            "covers": self.covers,
            "memory_bytes": asdict(self.memory_bytes),
            "prediction": self._prediction(),
            "temperature_c": dict(self.temperature_c) if self.temperature_c is not None else None,
            "energy_j": self.energy_j.to_json() if self.energy_j is not None else None,
            "energy_absent": self.energy_absent,
            "overhead_us": asdict(self.overhead_us) if self.overhead_us is not None else None,
            "validity": {
                "valid": self.state is State.VALID,
                "state": str(self.state),
                **_reasons(self.doubts),
            },
            "operators": self.operators.to_json() if self.operators is not None else None,
            "sustained": self.sustained.to_json() if self.sustained is not None else None,
            "find_qps": self.find_qps.to_json() if self.find_qps is not None else None,
            "scores": [asdict(score) for score in self.scores],
            "tags": list(self.tags),
        }


#: Facts that are in the measurement's "device" already, or are there to work out figures with.
_FACTS_LEFT_OUT = ("board", "batch_tokens", "batch_padded_tokens", "batch_sizes")


def _run_to_json(run: Run, latency_ms: LatencySummary) -> dict[str, Any]:
    return {
        "id": run.id,
        "valid": run.valid,
        "judged": run.judged,
        **_reasons(run.reasons),
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
        "facts": {name: value for name, value in run.facts.to_json().items() if name not in _FACTS_LEFT_OUT},
    }


def _reasons(reasons: tuple[Reason, ...]) -> dict[str, Any]:
    return {"reasons": texts_of(reasons), "reason_codes": [str(each.code) for each in reasons]}


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
