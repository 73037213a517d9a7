"""The types of run.json's values, checked where a run is read: others may have written it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edgebench.prediction import Prediction
from edgebench.run import Memory, Overhead, RunFigures

#: Of two latencies; its exponential is still a number.
_MOST_LOG_RATIO = 100
#: Figures of a run that have a logarithm, or are 0.
_POSITIVE = ("p50_ns", "p95_ns", "p99_ns", "geomean_ns", "throughput_per_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    id: str
    started_at: str
    load_ns: int | None = None
    first_ns: int | None = None
    memory: Memory | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    tokens: int
    inferences: int
    reasons: tuple[str, ...] = ()
    reason_codes: tuple[str, ...] | None = None
    judged: bool | None = None
    cut: tuple[tuple[int, int], ...] = ()
    latencies_count: int = 0
    figures: RunFigures | None = None
    beside: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Workload:
    scenario: str | None = None
    seq_len: int | None = None
    lang: str | None = None
    texts_sha256: str | None = None
    texts_lang: str | None = None
    batch: int | None = None
    threads: int | None = None
    padding: str | None = None
    choices: int | None = None
    queries_per_s: float | None = None
    latency_bound_ms: float | None = None
    sustained_min: float | None = None
    truncate: bool | None = None
    affinity: tuple[int, ...] | None = None
    alternating: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    id: str
    session: str
    label: str
    workload: _Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    subject: _Subject
    run: _Run
    planned_runs: int
    looks: int = 1
    seed: int | None = None
    extends: str | None = None
    prediction: Prediction | None = None
    overhead_us: Overhead | None = None


def check_types(document: Mapping[str, Any]) -> None:
    """Check that the values of a run.json have the types that figures and tables are made of.

    Raises:
        ValueError: it says where one has another type.
    """
    try:
        checked = msgspec.convert(document, _Document)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    if checked.run.latencies_count < 0:
        raise ValueError(f"latencies_count {checked.run.latencies_count}")
    for name in _POSITIVE if checked.run.figures is not None else ():
        value = getattr(checked.run.figures, name)
        if value is not None and value < 0:
            raise ValueError(f"{name} {value:g}")
    for ratio in checked.run.beside.values():
        if not abs(ratio) < _MOST_LOG_RATIO:
            raise ValueError(f"a log ratio of {ratio:g}")
