"""The budgets of a gate as rows of text, for the table and for Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from edgebench.gating import KINDS, BudgetResult, GateResult, shown
from edgebench.text import ratio_text

HEADERS = ("budget", "workload", "against", "limit", "found", "upper bound", "would have seen", "result")


def budget_rows(result: GateResult) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each budget, then of the latencies against the anchor."""
    for each in (*result.budgets, *result.anchor_budgets):
        yield (
            title_of(each),
            each.workload or "",
            each.against or "",
            limit_of(each),
            _found(each),
            _figure(each, each.upper_bound),
            f"{100 * each.detectable:.2g} %" if each.detectable is not None else "",
            str(each.result) + (", not repeated" if each.disagrees else ""),
        )


def title_of(budget: BudgetResult) -> str:
    """Return the metric, and of scores the task and language."""
    title = KINDS[budget.metric].title
    return f"{title} {budget.detail}" if budget.detail else title


def limit_of(budget: BudgetResult) -> str:
    """Return what the budget allows."""
    if budget.margin is not None:
        return f"+{100 * budget.margin:g} %"
    return shown(budget.ceiling, budget.unit) + (" lost" if budget.unit == "points" else "")


def _found(budget: BudgetResult) -> str:
    if budget.ratio is not None:
        again = f", {ratio_text(budget.repeated, budget.interval)} again" if budget.repeated is not None else ""
        return f"{ratio_text(budget.ratio, budget.interval)}{again}"
    if budget.unit == "points" and budget.value is not None and budget.baseline_value is not None:
        return f"{budget.value - budget.baseline_value:+.2f} points"
    again = f", {shown(budget.repeated, budget.unit)} again" if budget.repeated is not None else ""
    return shown(budget.value, budget.unit) + again


def _figure(budget: BudgetResult, value: float | None) -> str:
    if value is None:
        return ""
    return ratio_text(value, budget.interval) if budget.ratio is not None else shown(value, budget.unit)
