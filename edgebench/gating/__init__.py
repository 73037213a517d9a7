"""The gate: a candidate held against a baseline whose file is measured again in the same session.

A model, the name of a baseline and budgets come in; a GateResult comes out and is kept in the store. `accept_baseline`
makes a measurement the baseline or the anchor; `gate_history` reads the kept results. (Not `gate/`: that is a public
function.)
"""

from __future__ import annotations

from edgebench.gating.accept import accept_baseline
from edgebench.gating.baseline import Baseline
from edgebench.gating.budgets import Budget, read_budgets
from edgebench.gating.history import GateHistory, HistoryPoint, gate_history
from edgebench.gating.metrics import KINDS
from edgebench.gating.records import stored_gate
from edgebench.gating.result import BudgetResult, GateResult, GateSession, GateSide
from edgebench.gating.rules import LOOK_ALPHA, LOOKS, GateVerdict
from edgebench.gating.run import gate
from edgebench.gating.sentences import budget_sentence, shown

__all__ = [
    "KINDS",
    "LOOKS",
    "LOOK_ALPHA",
    "Baseline",
    "Budget",
    "BudgetResult",
    "GateHistory",
    "GateResult",
    "GateSession",
    "GateSide",
    "GateVerdict",
    "HistoryPoint",
    "accept_baseline",
    "budget_sentence",
    "gate",
    "gate_history",
    "read_budgets",
    "shown",
    "stored_gate",
]
