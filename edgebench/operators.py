"""Operators: what each operator of a model took, by the runtime's own profiler, in an extra run that doesn't count."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgebench.text import counted

_LAYER = re.compile(r"encoder\.(?:layer\.)?(\d{1,9})")
_PARTS = {"embeddings": "embeddings", "classifier": "head", "lm_head": "head", "qa_outputs": "head", "pooler": "head"}
_ON_CPU = ("CPUExecutionProvider", "CPU")
_MS = 1e6  # nanoseconds in a millisecond


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One operator over all inferences that were profiled."""

    name: str
    type: str
    provider: str
    calls: int
    total_ns: int

    @property
    def layer(self) -> str | None:
        """Where in the model it is, by its name: `layer 3`, `embeddings`, `head`; None where the name doesn't say."""
        found = _LAYER.search(self.name)
        if found:
            return f"layer {int(found[1])}"
        return next((part for word, part in _PARTS.items() if word in self.name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorProfile:
    """What the operators took over `inferences` that took `wall_ns` together, the profiler's own cost included."""

    inferences: int
    wall_ns: int
    operators: tuple[Operator, ...]  # the slowest first

    def __repr__(self) -> str:
        inferences = counted(self.inferences, "inference")
        return f"<OperatorProfile: {counted(len(self.operators), 'operator')}, {inferences}>"

    @property
    def total_ns(self) -> int:
        """All operators together."""
        return sum(operator.total_ns for operator in self.operators)

    def by_type(self) -> list[tuple[str | None, int]]:
        """Return each type with its nanoseconds, the slowest first."""
        return self._by(lambda operator: operator.type)

    def by_layer(self) -> list[tuple[str | None, int]]:
        """Return each layer with its nanoseconds, the slowest first; None: those whose name doesn't say."""
        return self._by(lambda operator: operator.layer)

    def by_provider(self) -> list[tuple[str | None, int]]:
        """Return each provider with its nanoseconds, the slowest first."""
        return self._by(lambda operator: operator.provider)

    def fallen_back(self) -> tuple[Operator, ...]:
        """Return what ran on the CPU although other operators ran on an accelerator; empty where all ran alike."""
        providers = {operator.provider for operator in self.operators}
        if providers <= {*_ON_CPU, "XNNPACK"}:
            return ()
        return tuple(operator for operator in self.operators if operator.provider in _ON_CPU)

    def share(self, total_ns: int) -> float:
        """Return a part of the operators' time, 0 to 1."""
        return total_ns / self.total_ns if self.total_ns else 0.0

    def ms(self, total_ns: int) -> float:
        """Return a time as milliseconds an inference."""
        return total_ns / self.inferences / _MS

    def _by(self, key: Callable[[Operator], str | None]) -> list[tuple[str | None, int]]:
        totals: dict[str | None, int] = {}
        for operator in self.operators:
            totals[key(operator)] = totals.get(key(operator), 0) + operator.total_ns
        return sorted(totals.items(), key=lambda entry: -entry[1])

    def to_json(self) -> dict[str, Any]:
        """Return plain values: what was reported, and what it amounts to per inference."""
        reported = {
            "inferences": self.inferences,
            "wall_ns": self.wall_ns,
            "operators": [asdict(operator) | {"layer": operator.layer} for operator in self.operators],
        }
        groups = {"by_type": self.by_type(), "by_layer": self.by_layer(), "by_provider": self.by_provider()}
        return reported | {
            name: [{"name": key, "ms": self.ms(total), "share": self.share(total)} for key, total in group]
            for name, group in groups.items()
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> OperatorProfile:
        """Return what `to_json` described.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        names = ("name", "type", "provider", "calls", "total_ns")
        if values["inferences"] < 1:
            raise ValueError(f"{values['inferences']} inferences")
        return cls(
            inferences=values["inferences"],
            wall_ns=values["wall_ns"],
            operators=tuple(Operator(**{name: each[name] for name in names}) for each in values["operators"]),
        )
