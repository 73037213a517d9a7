"""Time: how long the runs of a session take, and which plan fits into a budget."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from edgebench.analysis import batches_of_a_pass, complete_passes, duration_ns, mean_service_s
from edgebench.errors import UsageError
from edgebench.request import Request
from edgebench.run import Run
from edgebench.stats import LOOKS, MINIMUM_COUNTS
from edgebench.text import counted
from edgebench.workload import RunPlan

#: The smallest plan that a budget may leave: two blocks of runs, 132 inferences over them, which is enough for a p95
#: (MINIMUM_COUNTS), and enough time to read the sensors.
_LEAST_RUNS = 4
_LEAST_COUNT = 33
_LEAST_DURATION_S = 1.0


def pilot_plan(plan: RunPlan) -> RunPlan:
    """Return the plan of a short run, from which the time of the others is estimated."""
    return replace(plan, runs=1, min_count=min(5, plan.min_count), min_duration_s=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCost:
    """The time of a pilot run: `start_s` for everything but the timed inferences, `inference_s` for each of these.

    `batches`: of one pass over all inputs; a run consists of complete passes.
    """

    start_s: float
    inference_s: float
    batches: int

    def inferences(self, plan: RunPlan) -> int:
        """Return the number of inferences of a run: complete passes until both minima of the plan are reached."""
        wanted = max(plan.min_count, math.ceil(plan.min_duration_s / self.inference_s))
        complete = -(-wanted // self.batches) * self.batches
        return max(1, min(complete, int(plan.max_duration_s / self.inference_s)))

    def seconds(self, plan: RunPlan) -> float:
        """Return how long a run of this plan takes, in seconds."""
        return self.start_s + self.inferences(plan) * self.inference_s


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCost:
    """The time of a pilot process in which models alternate: `start_s`, and the cost of each model."""

    start_s: float
    models: tuple[RunCost, ...]

    def inferences(self, plan: RunPlan) -> int:
        """Return the number of inferences of each model; the plan's durations are for one model's share."""
        rotation = RunCost(start_s=0.0, inference_s=self._rotation_s, batches=self.models[0].batches)
        count = len(self.models)
        return rotation.inferences(
            replace(plan, min_duration_s=count * plan.min_duration_s, max_duration_s=count * plan.max_duration_s)
        )

    def seconds(self, plan: RunPlan) -> float:
        """Return how long a process of this plan takes, in seconds."""
        return self.start_s + self.inferences(plan) * self._rotation_s

    @property
    def _rotation_s(self) -> float:
        """The time of one inference of each model."""
        return sum(cost.inference_s for cost in self.models)


Cost = RunCost | SharedCost

#: A sustained run takes its planned minutes, however fast its inferences are.
SUSTAINED_COST = RunCost(start_s=0.0, inference_s=1.0, batches=1)


def cost_of(pilot: Run, seconds: float) -> RunCost | None:
    """Return the cost that a pilot run of so many seconds shows; None if it timed nothing."""
    if not len(pilot.latencies_ns):
        return None
    timed_s = duration_ns(pilot) / 1e9
    inference_s = timed_s / len(pilot.latencies_ns)
    rate = pilot.facts.queries_per_s
    return RunCost(
        start_s=max(0.0, seconds - timed_s),
        # A few random arrivals estimate their rate badly; the rate itself is known, if the queries can be served.
        inference_s=max(1 / rate, mean_service_s(pilot.trace)) if rate is not None else inference_s,
        batches=batches_of_a_pass(pilot),
    )


def shared_cost_of(pilots: Sequence[Run], seconds: float) -> Cost | None:
    """Return the cost that a pilot process of these runs, of so many seconds, shows; None if it timed nothing."""
    if len(pilots) == 1:
        return cost_of(pilots[0], seconds)
    costs = [cost_of(complete_passes(pilot), 0.0) for pilot in pilots]
    known = tuple(cost for cost in costs if cost is not None)
    if len(known) < len(pilots):
        return None
    timed_s = sum(float(pilot.latencies_ns.sum()) for pilot in pilots) / 1e9
    return SharedCost(start_s=max(0.0, seconds - timed_s), models=known)


@dataclass(slots=True)
class Timetable:
    """How long runs take, in seconds: estimated from the pilots at first, then from the runs that ended.

    Args:
        plan: of each run.
        costs: of each row; None where its pilot failed.
        deadline_s: of the budget, on `clock`; None: no budget.
    """

    plan: RunPlan
    costs: Sequence[Cost | None]
    deadline_s: float | None = None
    clock: Callable[[], float] = time.monotonic
    _took_s: dict[int, list[float]] = field(init=False, default_factory=dict)

    def ended(self, row: int, seconds: float) -> None:
        """Record how long a run took, including the cool-down before it."""
        self._took_s.setdefault(row, []).append(seconds)

    def run_s(self, row: int) -> float | None:
        """Return how long the next run of a row takes; None if that is unknown."""
        if row in self._took_s:
            return median(self._took_s[row])
        cost = self.costs[row]
        return cost.seconds(self.plan) if cost is not None else None

    def left_s(self, runs: Sequence[int]) -> float | None:
        """Return how long so many runs of each row take; None if that is unknown for one of them."""
        left_s = 0.0
        for row, count in enumerate(runs):
            if count:
                run_s = self.run_s(row)
                if run_s is None:
                    return None
                left_s += count * run_s
        return left_s

    def spare_s(self, runs: Sequence[int]) -> float | None:
        """Return the time that the budget leaves after so many runs of each row; None without a budget."""
        if self.deadline_s is None:
            return None
        return self.deadline_s - self.clock() - (self.left_s(runs) or 0.0)


def fit_into(request: Request, costs: Sequence[Cost | None], *, spent_s: float) -> Request:
    """Return the request with the looks, runs, counts and durations that fit into its budget; never more than before.

    Inferences are reduced before runs, because runs are the unit of statistics. Time to repeat one run of each row is
    reserved.

    Args:
        costs: of a run of each row; None where unknown.
        spent_s: the part of the budget that is spent already.

    Raises:
        UsageError: not even the smallest plan fits.
    """
    known = [cost for cost in costs if cost is not None]
    if request.budget_s is None or not known:
        return request
    left_s = request.budget_s - spent_s
    if request.until_decided:
        for runs in reversed(LOOKS):
            if _needed_s(known, request.plan, runs) <= left_s:
                return replace(request, most_runs=runs)
        request = replace(request, plan=replace(request.plan, runs=LOOKS[0]), most_runs=0)
    for runs in _fewer(request.plan.runs):
        fitting = [
            plan
            for share in range(101)
            if _needed_s(known, plan := _reduced(request.plan, share / 100), runs) <= left_s
        ]
        if fitting:
            return replace(request, plan=replace(fitting[-1], runs=runs))
    least_s = spent_s + _needed_s(known, _reduced(request.plan, 0.0), min(request.plan.runs, _LEAST_RUNS))
    raise UsageError(
        f"the budget of {request.budget_s:.0f} s is too short: the least plan, {min(request.plan.runs, _LEAST_RUNS)} "
        f"runs of each row, takes about {math.ceil(least_s)} s, {spent_s:.0f} s of which are spent",
        hint=f"try `budget_s={math.ceil(1.1 * least_s)}`",
    )


def _needed_s(costs: Sequence[Cost], plan: RunPlan, runs: int) -> float:
    return (runs + 1) * sum(cost.seconds(plan) for cost in costs)


def _fewer(runs: int) -> Iterator[int]:
    """Yield the numbers of runs that a plan may have, the largest first: as requested, then complete blocks."""
    yield runs
    yield from range(runs - 2 + runs % 2, _LEAST_RUNS - 1, -2)


def _reduced(plan: RunPlan, share: float) -> RunPlan:
    """Return the plan at this share of the way from the smallest plan to the requested one."""
    count, duration = min(_LEAST_COUNT, plan.min_count), min(_LEAST_DURATION_S, plan.min_duration_s)
    return replace(
        plan,
        min_count=count + int(share * (plan.min_count - count)),
        min_duration_s=duration + share * (plan.min_duration_s - duration),
    )


def describe_budget(requested: Request, planned: Request, costs: Sequence[Cost | None]) -> str:
    """Return the plan for a budget in words, and what it loses: wider intervals, missing percentiles."""
    was, now = requested.looks[-1], planned.looks[-1]
    plan = planned.plan
    of_a_run = f"{counted(plan.min_count, 'inference')} or {plan.min_duration_s:.3g} s each"
    text = f"within the budget: {counted(now, 'run')} of each row, {of_a_run}"
    lost = []
    if now < was:
        runs = f"at most {was} until decided" if requested.until_decided else counted(was, "run")
        lost.append(f"intervals about {_width(now) / _width(was):.1f} times as wide as with {runs}")
    known = [cost for cost in costs if cost is not None]
    have, had = (
        min(runs * cost.inferences(each.plan) for cost in known) for runs, each in ((now, planned), (was, requested))
    )
    for quantile, least in MINIMUM_COUNTS.items():
        if have < least <= had:
            lost.append(f"no p{100 * quantile:g}")
    return f"{text}; {'; '.join(lost)}" if lost else text


def _width(runs: int) -> float:
    """Half the width of a t-interval from so many runs, in standard deviations between them."""
    from scipy.stats import t

    return float(t.ppf(0.975, runs - 1)) / math.sqrt(runs) if runs > 1 else math.inf
