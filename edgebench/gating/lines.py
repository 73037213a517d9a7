"""Lines: each budget under each workload that it is for, and what one look at the measurements says of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from edgebench.gating.budgets import DEFAULT_BUDGETS, Budget
from edgebench.gating.metrics import KINDS, Metric, estimate_of, figures_in_unit
from edgebench.gating.result import BudgetResult
from edgebench.gating.rules import LOOK_ALPHA, GateVerdict, bounds_of, judge, mean_against
from edgebench.measurement import Measurement


class Role(StrEnum):
    """Whose measurement it is."""

    BASELINE = "baseline"
    CANDIDATE = "candidate"
    ANCHOR = "anchor"


#: The measurements of one workload.
Sides = Mapping[Role, Measurement]


@dataclass(frozen=True, slots=True)
class Line:
    """A budget under one workload; `role`: the side that a relative one holds the candidate against."""

    budget: Budget
    label: str
    role: Role | None

    @property
    def is_alone(self) -> bool:
        """Whether it is measured only where each model has a process to itself."""
        return KINDS[self.budget.metric].alone


def timed_lines(budgets: Sequence[Budget], labels: Sequence[str], *, has_anchor: bool) -> list[Line]:
    """Return the lines of all budgets but those on size and scores, then the latencies against the anchor."""
    timed = [each for each in budgets if each.metric not in (Metric.SIZE, Metric.SCORE)]
    lines = [
        Line(budget, label, Role.BASELINE if budget.margin is not None else None)
        for budget in timed
        for label in labels
        if budget.workload in (None, label)
    ]
    if not has_anchor:
        return lines
    relative = {line.label: line.budget for line in lines if _is_relative_latency(line.budget)}
    return [*lines, *(Line(relative.get(label, DEFAULT_BUDGETS[0]), label, Role.ANCHOR) for label in labels)]


def _is_relative_latency(budget: Budget) -> bool:
    return budget.metric is Metric.LATENCY and budget.margin is not None


def judge_line(
    line: Line, sides: Sides, *, names: Mapping[Role, str], alpha: float = LOOK_ALPHA
) -> BudgetResult | None:
    """Return what one look says of a line; None where its figure was not measured in two valid runs."""
    candidate, budget = sides[Role.CANDIDATE], line.budget
    baseline = sides[line.role or Role.BASELINE]
    figures = {side.id: figures_in_unit(budget.metric, side) for side in (baseline, candidate)}
    found = BudgetResult(
        metric=budget.metric,
        workload=line.label,
        against=names[line.role] if line.role is not None else None,
        result=GateVerdict.UNDECIDED,
        value=_typical(figures[candidate.id]),
        baseline_value=_typical(figures[baseline.id]),
        unit=KINDS[budget.metric].unit,
        level=1 - alpha,
        margin=budget.margin,
        ceiling=budget.ceiling,
    )
    if (ceiling := budget.ceiling) is not None:
        level = mean_against(figures[candidate.id], ceiling)
        if level is None:
            return None
        bounds = bounds_of(level, alpha=alpha)
        return replace(
            found,
            result=judge(level, margin=0.0, alpha=alpha),
            upper_bound=ceiling * bounds.upper,
            interval=(ceiling * bounds.interval[0], ceiling * bounds.interval[1]),
            runs=(len(figures[candidate.id]),) * 2,
        )
    estimate = estimate_of(budget.metric, baseline, candidate)
    if estimate is None or budget.margin is None:
        return None
    bounds = bounds_of(estimate, alpha=alpha)
    return replace(
        found,
        result=judge(estimate, margin=budget.margin, alpha=alpha),
        ratio=bounds.ratio,
        upper_bound=bounds.upper,
        interval=bounds.interval,
        detectable=bounds.detectable,
        runs=estimate.runs,
    )


def _typical(figures: Sequence[float]) -> float | None:
    """Return the geometric mean over runs."""
    return math.exp(sum(map(math.log, figures)) / len(figures)) if figures else None


def figure_of(result: BudgetResult) -> float | None:
    """Return what the second session repeats: the ratio, or the value of an absolute budget."""
    return result.ratio if result.ceiling is None else result.value
