"""Who measures what just now, as the benches of a scheduler say it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgebench.benches.offers import Offer
from edgebench.text import duration_text, printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """A cell that is measured now: on which bench, for which study, and for how long, seconds."""

    bench: str
    device: str
    study: str
    workload: str
    session: str
    since_s: float

    def __str__(self) -> str:
        """Return it in words."""
        since = duration_text(self.since_s)
        return f"{self.device}: bench {self.bench} measures {self.workload} of {self.study}, for {since}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


def bench_activities(offers: Sequence[Offer]) -> list[Activity]:
    """Return what the benches measure now; what one says of itself is made harmless."""
    return [
        Activity(
            bench=offer.bench,
            device=printable(each.get("device"), 100),
            study=printable(each.get("study"), 100),
            workload=printable(each.get("workload"), 100),
            session=printable(each.get("session"), 100),
            since_s=_since_s(each.get("began_s")),
        )
        for offer in offers
        for each in offer.running
    ]


def _since_s(began_s: Any) -> float:
    return max(0.0, time.time() - began_s) if isinstance(began_s, int | float) else 0.0
