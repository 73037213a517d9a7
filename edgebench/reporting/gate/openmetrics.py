"""A gate's figures as OpenMetrics text, which GitLab's metrics report and Prometheus read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edgebench.gating import BudgetResult, GateResult
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
    lines = []
    for name, about, figure in _FAMILIES:
        samples = list(_samples(f"edgebench_gate_{name}", figure, result))
        if samples:
            lines += [f"# TYPE edgebench_gate_{name} gauge", f"# HELP edgebench_gate_{name} {about}", *samples]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _samples(name: str, figure: Callable[[BudgetResult], float | None], result: GateResult) -> Iterator[str]:
    seen = set()
    for each in (*result.budgets, *result.anchor_budgets):
        value = figure(each)
        labels = {
            "device": str(result.device.get("name")),
            "metric": str(each.metric),
            "workload": each.workload or "",
            "against": each.against or "",
            "limit": "ceiling" if each.ceiling is not None else "margin",
            "of": each.detail or "",
        }
        listed = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items() if text)
        sample = f"{name}{{{listed}}}"
        if value is not None and sample not in seen:  # two budgets may limit one figure
            seen.add(sample)
            yield f"{sample} {value!r}"


def _escaped(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
