"""A gate's figures as OpenMetrics text, which GitLab's metrics report and Prometheus read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edgebench.gating import BudgetResult, GateResult
from edgebench.reporting.exposition import Family, exposition
from edgebench.text import printable


def _with_unit(unit: str) -> Callable[[BudgetResult], float | None]:
    return lambda each: each.value if each.unit == unit else None


#: Name, help, and the figure of a budget; those that have none are left out.
_FAMILIES: tuple[tuple[str, str, Callable[[BudgetResult], float | None]], ...] = (
    ("ratio", "Candidate / baseline.", lambda each: each.ratio),
    ("upper_bound_ratio", "One-sided upper bound of the ratio.", lambda each: each.upper_bound if each.ratio else None),
    ("detectable_ratio", "Smallest slowdown that would have been seen.", lambda each: each.detectable),
    ("candidate_ms", "Figure of the candidate, milliseconds.", _with_unit("ms")),
    ("candidate_bytes", "Figure of the candidate, bytes.", _with_unit("bytes")),
    ("candidate_joules", "Figure of the candidate, joules.", _with_unit("J")),
    ("candidate_points", "Score of the candidate, points.", _with_unit("points")),
    ("result", "1: pass, 0: undecided, -1: fail.", lambda each: {"pass": 1.0, "fail": -1.0}.get(str(each.result), 0.0)),
)


def openmetrics(result: GateResult) -> str:
    """Return the text of the exposition."""
    return exposition(
        Family(name=f"edgebench_gate_{name}", about=about, samples=_samples(figure, result))
        for name, about, figure in _FAMILIES
    )


def _samples(
    figure: Callable[[BudgetResult], float | None], result: GateResult
) -> Iterator[tuple[dict[str, str], float]]:
    for each in (*result.budgets, *result.anchor_budgets):  # two budgets may limit one figure
        value = figure(each)
        if value is not None:
            labels = {
                "device": str(result.device.get("name")),
                "metric": str(each.metric),
                "workload": each.workload or "",
                "against": each.against or "",
                "limit": "ceiling" if each.ceiling is not None else "margin",
                "of": each.detail or "",
            }
            yield {name: printable(text) for name, text in labels.items()}, value
