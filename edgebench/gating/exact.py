"""Budgets that no timing decides: the size of the files, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgebench.analysis import ExampleScores, ScoreContrast, compare_scores, join_scores
from edgebench.errors import NotValid
from edgebench.gating.budgets import Budget
from edgebench.gating.metrics import Metric
from edgebench.gating.result import BudgetResult
from edgebench.gating.rules import GateVerdict
from edgebench.measurement import Measurement
from edgebench.xtreme_r import ScoreRow


def judge_size(budget: Budget, baseline: Measurement, candidate: Measurement, *, against: str) -> BudgetResult:
    """Return whether the candidate's files are small enough; sizes are exact."""
    sizes = [float(each.subject.artifact.bytes) for each in (baseline, candidate)]
    if budget.ceiling is not None:
        holds, ratio = sizes[1] <= budget.ceiling, None
    else:
        ratio = sizes[1] / sizes[0]
        holds = ratio <= 1 + (budget.margin or 0.0)
    return BudgetResult(
        metric=budget.metric,
        workload=None,
        against=against if budget.ceiling is None else None,
        result=GateVerdict.PASS if holds else GateVerdict.FAIL,
        value=sizes[1],
        baseline_value=sizes[0],
        unit="bytes",
        ratio=ratio,
        upper_bound=sizes[1] if ratio is None else ratio,
        margin=budget.margin,
        ceiling=budget.ceiling,
    )


def judge_scores(
    budget: Budget,
    baseline: Measurement,
    candidate: Measurement,
    rows: Sequence[ScoreRow],
    examples: Sequence[ExampleScores],
    *,
    against: str,
) -> list[BudgetResult]:
    """Return what a budget on scores says of each task and language that both files were scored on.

    With results per example: pass where the loss is surely within the budget, fail where the candidate is surely worse
    and that was not shown, else undecided. Without: by the difference itself.

    Args:
        rows: scores by file, or by variant where the sides are two variants.

    Raises:
        NotValid: one of the two files has no scores, or they have no task in common.
    """
    sides = [join_scores(each, rows, examples=examples) for each in (baseline, candidate)]
    sides = [
        replace(side, scores=tuple(score for score in side.scores if budget.task in (None, score.task)))
        for side in sides
    ]
    for side in sides:
        if not side.scores:
            subject = side.measurement.subject
            of = f" on {budget.task}" if budget.task is not None else ""
            raise NotValid(
                f"there is a budget on scores, and {subject.variant.name} ({subject.artifact.format}, sha256 "
                f"{subject.artifact.sha256[:12]}) has none{of}; score this file (edgebench evaluate) or give `scores`"
            )
    (contrasts,) = compare_scores([(sides[0], sides[1])], margin=budget.loss_points or 0.0)
    if not contrasts:
        raise NotValid("there is a budget on scores, and the two files have no task and language in common")
    return [_judged(budget, each, against) for each in contrasts]


def _judged(budget: Budget, contrast: ScoreContrast, against: str) -> BudgetResult:
    loss, allowed = -contrast.difference, budget.loss_points or 0.0
    if contrast.ci is None:
        result = GateVerdict.PASS if loss <= allowed else GateVerdict.FAIL
    elif contrast.not_worse or contrast.verdict in ("comparable", "better"):
        result = GateVerdict.PASS
    else:
        result = GateVerdict.FAIL if contrast.verdict == "worse" else GateVerdict.UNDECIDED
    interval = (-contrast.ci[1], -contrast.ci[0]) if contrast.ci is not None else None
    return BudgetResult(
        metric=Metric.SCORE,
        workload=None,
        against=against,
        result=result,
        value=contrast.candidate,
        baseline_value=contrast.baseline,
        unit="points",
        upper_bound=interval[1] if interval is not None else loss,
        interval=interval,
        level=contrast.level,
        ceiling=allowed,
        detail=f"{contrast.task} {contrast.lang}" + (f", {contrast.without_interval}" if contrast.ci is None else ""),
    )
