"""Whether runs can have as many inferences as planned: predicted from the pilots, before the first run that counts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgebench.errors import ConfigError
from edgebench.measure.budget import Cost, RunCost
from edgebench.measure.recorder import Row
from edgebench.workload import RunPlan

#: A pilot has few inferences, the first of which may be slow: so much of the plan must be out of reach.
_CLEARLY = 0.8


def refuse_unreachable(plan: RunPlan, rows: Sequence[Row], costs: Sequence[Cost | None]) -> None:
    """Refuse a plan whose runs end before they have `min_count` inferences: none of these runs would count.

    Args:
        costs: of a run of each row, from its pilot; None: unknown.

    Raises:
        ConfigError: the first row that can't have them, with what it can have.
    """
    if plan.sustained_min is not None:
        return
    for row, cost in zip(rows, costs, strict=True):
        if cost is None or row[0].workload.latency_bound_ms is not None:  # a search has time for its queries
            continue
        reached, each_s = cost.inferences(plan), _inference_s(cost)
        if reached < _CLEARLY * plan.min_count:
            raise ConfigError(
                f"{row[0].name}, {row[0].subject.label}: a run of at most {plan.max_duration_s:g} s has time for about "
                f"{reached} inferences of {each_s:.2g} s, fewer than the {plan.min_count} that it needs to count",
                hint=f"try `max_duration_s={math.ceil(1.5 * plan.min_count * each_s)}` or `min_count={reached}`",
            )


def _inference_s(cost: Cost) -> float:
    """Return the time of one inference; of models that alternate, their mean."""
    if isinstance(cost, RunCost):
        return cost.inference_s
    return sum(each.inference_s for each in cost.models) / len(cost.models)
