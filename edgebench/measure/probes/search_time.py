"""How long the search of a rate takes, and what fits into the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edgebench.stats import MINIMUM_COUNTS, RateSearch
from edgebench.workload import RunPlan

#: Queries of a probe: so many that it holds with three of them over the bound. A probe only guides the search.
QUERIES = 1_001
#: Queries that are measured one at a time, for the time that a query takes.
ALONE = MINIMUM_COUNTS[0.99]
#: Of the rate at which a server has no time left, what is probed and what is confirmed in the end; both are guesses.
_PROBED, _CONFIRMED = 0.6, 0.5
#: How often the planned runs are measured: usually until the second lower rate is confirmed, at most six times.
_USUAL_ATTEMPTS, _MOST_ATTEMPTS = 2, 6


@dataclass(slots=True, kw_only=True)
class SearchTime:
    """The time that one search may take, its planned runs included.

    Args:
        plan: the planned runs that confirm a rate.
        deadline_s: on `clock`; None: no budget.
        start_s: of a run, what is not timed: start, loading, warm-up; learned from the runs so far.
    """

    plan: RunPlan
    deadline_s: float | None = None
    start_s: float = 0.0
    clock: Callable[[], float] = field(default=time.monotonic)

    def left_s(self) -> float:
        """Return the time that is left, in seconds; without a budget, infinitely much."""
        return float("inf") if self.deadline_s is None else self.deadline_s - self.clock()

    def learn(self, took_s: float, timed_s: float) -> None:
        """Note how long a run took, and how long its inferences."""
        self.start_s = max(0.0, took_s - timed_s)

    def alone_s(self, query_s: float) -> float:
        """Return how long the queries take that are measured one at a time, each of which takes so long."""
        return self.start_s + ALONE * query_s

    def probe_s(self, rate: float) -> float:
        """Return how long a probe takes."""
        return self.start_s + QUERIES / rate

    def confirm_s(self, rate: float) -> float:
        """Return how long the planned runs take at a rate."""
        return self.plan.runs * (self.start_s + self.plan.min_count / rate)

    def estimate_s(self, search: RateSearch, *, attempts: int = _USUAL_ATTEMPTS) -> float:
        """Return how long the rest of a search takes, with the planned runs repeated at lower rates."""
        low, _ = search.bracket
        probed, confirmed = _PROBED * search.limit_qps, low or _CONFIRMED * search.limit_qps
        return search.probes_left * self.probe_s(low or probed) + attempts * self.confirm_s(confirmed)

    def most_s(self, search: RateSearch) -> float:
        """Return how long it takes if the runs confirm only the lowest rate that is tried."""
        return self.estimate_s(search, attempts=_MOST_ATTEMPTS)


def shown_time(seconds: float) -> str:
    """Return a time for people: `45 s`, `12 min`, `2.7 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
