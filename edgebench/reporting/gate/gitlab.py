"""A gate's result as GitLab's code-quality report: an issue for each budget that does not hold."""

from __future__ import annotations

import hashlib
import json

from edgebench.gating import BudgetResult, GateResult, GateVerdict, budget_sentence
from edgebench.text import printable

_SEVERITIES = {GateVerdict.FAIL: "major", GateVerdict.UNDECIDED: "info"}


def code_quality(result: GateResult, *, path: str) -> str:
    """Return the text of the report.

    Args:
        path: the file of the repository that the issues are shown at, relative to its root.

    GitLab compares fingerprints between branches: one stands for a budget, not for what was measured.
    """
    mode = next((each.mode for each in reversed(result.sessions) if each.purpose != "spread"), "interleaved")
    issues = [
        {
            "description": printable(f"{result.device.get('name')}: {budget_sentence(each, mode=mode)}", 4000),
            "check_name": f"edgebench/{each.metric}",
            "fingerprint": _fingerprint(result, each),
            "severity": _SEVERITIES[each.result],
            "location": {"path": path, "lines": {"begin": 1}},
        }
        for each in (*result.budgets, *result.anchor_budgets)
        if each.result in _SEVERITIES
    ]
    return json.dumps(issues, indent=1, ensure_ascii=False) + "\n"


def _fingerprint(result: GateResult, budget: BudgetResult) -> str:
    parts = (result.device.get("name"), budget.metric, budget.workload, budget.against, budget.detail, budget.unit)
    return hashlib.sha256("\n".join(map(str, (*parts, budget.ceiling is None))).encode()).hexdigest()
