"""How long a session takes, and which runs and counts fit into a budget of time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from edgebench.analysis.passes import batches_of_a_pass, complete_passes, duration_ns
from edgebench.analysis.timeline import mean_service_s
from edgebench.errors import UsageError
from edgebench.request import Request
from edgebench.run import Run
from edgebench.stats.percentiles import MINIMUM_COUNTS
from edgebench.stats.verdicts import LOOKS
from edgebench.workload import RunPlan

#: Of what a budget may leave of a plan: two blocks; over them 132 inferences, enough for a p95 (MINIMUM_COUNTS); and so
#: long that sensors are read.
_LEAST_RUNS = 4
_LEAST_COUNT = 33
_LEAST_DURATION_S = 1.0


def pilot_plan(plan: RunPlan) -> RunPlan:
    """Return the plan of a short run that only tells how long the others take."""
    return replace(plan, runs=1, min_count=min(5, plan.min_count), min_duration_s=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCost:
    """What a pilot run took: `start_s` for everything but the timed inferences, `inference_s` for each of these.

    `batches`: of a turn, of which only whole ones are run.
    """

    start_s: float
    inference_s: float
    batches: int

    def inferences(self, plan: RunPlan) -> int:
        """Return how many a run of this plan has: whole turns until both minima are reached."""
        wanted = max(plan.min_count, math.ceil(plan.min_duration_s / self.inference_s))
        whole = -(-wanted // self.batches) * self.batches
        return max(1, min(whole, int(plan.max_duration_s / self.inference_s)))

    def seconds(self, plan: RunPlan) -> float:
        """Return how long a run of this plan takes, in seconds."""
        return self.start_s + self.inferences(plan) * self.inference_s


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCost:
    """What the pilot of a process took in which models alternate: `start_s`, and what each of them costs."""

    start_s: float
    models: tuple[RunCost, ...]

    def inferences(self, plan: RunPlan) -> int:
        """Return how many a process of this plan has of each model; durations are of a model's share."""
        turn = RunCost(start_s=0.0, inference_s=self._turn_s, batches=self.models[0].batches)
        count = len(self.models)
        return turn.inferences(
            replace(plan, min_duration_s=count * plan.min_duration_s, max_duration_s=count * plan.max_duration_s)
        )

    def seconds(self, plan: RunPlan) -> float:
        """Return how long a process of this plan takes, in seconds."""
        return self.start_s + self.inferences(plan) * self._turn_s

    @property
    def _turn_s(self) -> float:
        return sum(cost.inference_s for cost in self.models)


Cost = RunCost | SharedCost

#: Of a sustained run, which takes the minutes that it is to take, however fast its inferences are.
SUSTAINED_COST = RunCost(start_s=0.0, inference_s=1.0, batches=1)


def cost_of(pilot: Run, seconds: float) -> RunCost | None:
    """Return what a pilot run that took so long tells; None where it timed nothing."""
    if not len(pilot.latencies_ns):
        return None
    timed_s = duration_ns(pilot) / 1e9
    inference_s = timed_s / len(pilot.latencies_ns)
    rate = pilot.facts.queries_per_s
    return RunCost(
        start_s=max(0.0, seconds - timed_s),
        # A handful of random arrivals tells little of when many come; their rate does, where they can be served.
        inference_s=max(1 / rate, mean_service_s(pilot.trace)) if rate is not None else inference_s,
        batches=batches_of_a_pass(pilot),
    )


def shared_cost_of(pilots: Sequence[Run], seconds: float) -> Cost | None:
    """Return what a pilot process of these runs tells, which took so long; None where it timed nothing."""
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
    """How long runs take: as the pilots say at first, then as those that ended did. Seconds.

    costs: of each row, None where its pilot failed. `deadline_s`: of the budget, on `clock`.
    """

    plan: RunPlan
    costs: Sequence[Cost | None]
    deadline_s: float | None = None
    clock: Callable[[], float] = time.monotonic
    _took_s: dict[int, list[float]] = field(init=False, default_factory=dict)

    def ended(self, row: int, seconds: float) -> None:
        """Note how long a run took, waiting for the board to cool down included."""
        self._took_s.setdefault(row, []).append(seconds)

    def run_s(self, row: int) -> float | None:
        """Return how long the next run of a row takes; None where nothing tells."""
        if row in self._took_s:
            return median(self._took_s[row])
        cost = self.costs[row]
        return cost.seconds(self.plan) if cost is not None else None

    def left_s(self, runs: Sequence[int]) -> float | None:
        """Return how long so many runs of each row take; None where of one of them nothing tells."""
        each = [(count, self.run_s(row)) for row, count in enumerate(runs) if count]
        return sum(count * run_s for count, run_s in each if run_s is not None) if _all_told(each) else None

    def spare_s(self, runs: Sequence[int]) -> float | None:
        """Return what the budget leaves beside so many runs of each row; None without a budget."""
        if self.deadline_s is None:
            return None
        return self.deadline_s - self.clock() - (self.left_s(runs) or 0.0)


def _all_told(each: Sequence[tuple[int, float | None]]) -> bool:
    return all(run_s is not None for _, run_s in each)


def fit_into(request: Request, costs: Sequence[Cost | None], *, spent_s: float) -> Request:
    """Return the request with what fits into its budget, of which so much is spent: looks, runs, counts, durations.

    Never more than was asked for. Inferences become fewer first, for runs are what certainty comes from. Time for
    repeating one run of each row is set aside.

    Raises:
        UsageError: not even the least plan fits.
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
        f"runs of each row, takes about {math.ceil(least_s)} s, {spent_s:.0f} s of which are spent; "
        f"try --budget {math.ceil(1.1 * least_s)}s"
    )


def _needed_s(costs: Sequence[Cost], plan: RunPlan, runs: int) -> float:
    return (runs + 1) * sum(cost.seconds(plan) for cost in costs)


def _fewer(runs: int) -> Iterator[int]:
    """Yield the numbers of runs that a plan may have, the most first: as asked, then whole blocks."""
    yield runs
    yield from range(runs - 2 + runs % 2, _LEAST_RUNS - 1, -2)


def _reduced(plan: RunPlan, share: float) -> RunPlan:
    """Return the plan with this share of what lies between the least and what was asked for."""
    count, duration = min(_LEAST_COUNT, plan.min_count), min(_LEAST_DURATION_S, plan.min_duration_s)
    return replace(
        plan,
        min_count=count + int(share * (plan.min_count - count)),
        min_duration_s=duration + share * (plan.min_duration_s - duration),
    )


def describe_budget(asked: Request, planned: Request, costs: Sequence[Cost | None]) -> str:
    """Say what was planned for a budget, and what it costs in certainty."""
    was, now = asked.looks[-1], planned.looks[-1]
    plan = planned.plan
    text = f"within the budget: {now} runs of each row, {plan.min_count} inferences or {plan.min_duration_s:.3g} s each"
    lost = []
    if now < was:
        runs = f"at most {was} until decided" if asked.until_decided else f"{was} runs"
        lost.append(f"intervals about {_width(now) / _width(was):.1f} times as wide as with {runs}")
    known = [cost for cost in costs if cost is not None]
    have, had = (
        min(runs * cost.inferences(each.plan) for cost in known) for runs, each in ((now, planned), (was, asked))
    )
    for quantile, least in MINIMUM_COUNTS.items():
        if have < least <= had:
            lost.append(f"no p{100 * quantile:g}")
    return f"{text}; {'; '.join(lost)}" if lost else text


def _width(runs: int) -> float:
    """Half the width of a t-interval from so many runs, in standard deviations between them."""
    from scipy.stats import t

    return float(t.ppf(0.975, runs - 1)) / math.sqrt(runs) if runs > 1 else math.inf
