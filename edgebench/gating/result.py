"""GateResult: what a gate found, budget by budget, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgebench._version import __version__
from edgebench.gating.metrics import Metric
from edgebench.gating.rules import GateVerdict
from edgebench.measurement import FORMAT_VERSION
from edgebench.text import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetResult:
    """One budget under one workload: what was found, and what that means.

    A relative budget (`margin`) has a `ratio` to the side `against`. An absolute one (`ceiling`) has none: then
    `upper_bound` and `interval` are in `unit`, as `value` and `baseline_value` always are. `level`: of the bounds.
    `detectable`: the smallest slowdown that would have been seen, 0.016: 1.6 %. `repeated`: the ratio, or the value, in
    the second session; None where none was needed. `workload`: None for what does not depend on it.
    """

    metric: Metric
    workload: str | None
    against: str | None
    result: GateVerdict
    value: float | None
    baseline_value: float | None
    unit: str
    ratio: float | None = None
    upper_bound: float | None = None
    interval: tuple[float, float] | None = None
    level: float | None = None
    margin: float | None = None
    ceiling: float | None = None
    detectable: float | None = None
    runs: tuple[int, int] | None = None
    repeated: float | None = None
    detail: str | None = None

    @property
    def disagrees(self) -> bool:
        """Whether it failed in the first session and not in the second one."""
        return self.repeated is not None and self.result is not GateVerdict.FAIL

    def to_json(self) -> dict[str, Any]:
        """Return one entry of `budgets` in `gate --json`."""
        values = {name: getattr(self, name) for name in self.__slots__}
        listed = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return listed | {"metric": str(self.metric), "result": str(self.result)}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSide:
    """The baseline, the candidate or the anchor; `measurements`: its ids in the gate's last session for it."""

    name: str
    variant: str
    format: str
    artifact_sha256: str
    bytes: int
    measurements: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: getattr(self, name) for name in self.__slots__} | {"measurements": list(self.measurements)}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSession:
    """A session of a gate. `purpose`: `decide`, `spread` (the runs spread too much: not used), `alone` or `repeat`.

    `mode`: `alternating` or `interleaved`. `runs`: valid ones of each side, of the row with the fewest.
    """

    id: str
    purpose: str
    mode: str
    runs: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"id": self.id, "purpose": self.purpose, "mode": self.mode, "runs": dict(self.runs)}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """What a gate says: `result` on all budgets together, and `sentence`, to be pasted.

    `anchor_budgets`: the latencies against the pinned anchor; empty without one.
    """

    id: str
    started_at: str
    result: GateVerdict
    sentence: str
    sessions: tuple[GateSession, ...]
    device: Mapping[str, Any]
    baseline: GateSide
    candidate: GateSide
    budgets: tuple[BudgetResult, ...]
    anchor: GateSide | None = None
    anchor_budgets: tuple[BudgetResult, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        return printable(f"<GateResult {self.id}: {self.result}: {self.sentence}>")

    @property
    def passed(self) -> bool:
        """Whether every budget holds."""
        return self.result is GateVerdict.PASS

    @property
    def failed(self) -> bool:
        """Whether a budget was exceeded, in two sessions where it was measured."""
        return self.result is GateVerdict.FAIL

    def to_json(self) -> dict[str, Any]:
        """Return the document that `gate --json` writes."""
        anchor = None
        if self.anchor is not None:
            anchor = self.anchor.to_json() | {"budgets": [each.to_json() for each in self.anchor_budgets]}
        return {
            "format_version": FORMAT_VERSION,
            "edgebench_version": __version__,
            "id": self.id,
            "started_at": self.started_at,
            "result": str(self.result),
            "sessions": [each.to_json() for each in self.sessions],
            "device": dict(self.device),
            "baseline": self.baseline.to_json(),
            "candidate": self.candidate.to_json(),
            "budgets": [each.to_json() for each in self.budgets],
            "anchor": anchor,
            "notes": list(self.notes),
            "sentence": self.sentence,
        }
