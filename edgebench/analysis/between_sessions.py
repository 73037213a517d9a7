"""What is said of a quantity where the runs of one session do not decide: nothing, or what a history says."""

from __future__ import annotations

from edgebench.analysis.contrast import BY_HISTORY, Contrast
from edgebench.analysis.quantities import Quantity
from edgebench.analysis.session_history import SessionHistory, differ_text
from edgebench.analysis.undecided import (
    BETWEEN_SESSIONS,
    NOT_DECIDED,
    OTHER_SESSION,
    invalid_sides,
    is_one_session,
    sessions_text,
)
from edgebench.measurement import Measurement
from edgebench.stats import HistoryEstimate, RatioEstimate, Verdict


def why_not_judged(quantity: Quantity, baseline: Measurement, candidate: Measurement) -> str | None:
    """Return why the runs of two measurements allow no verdict on a quantity; None where they do."""
    if (why := invalid_sides(baseline, candidate)) is not None:
        return why
    may_be = is_one_session(baseline, candidate) or quantity.name in BETWEEN_SESSIONS
    return None if may_be else OTHER_SESSION


def by_history(
    quantity: Quantity,
    estimated: RatioEstimate,
    history: SessionHistory,
    said: HistoryEstimate | str,
    *,
    margin: float,
    level: float,
) -> Contrast:
    """Return what the board's history says, or why it says nothing."""
    verdict = said.verdict(margin) if isinstance(said, HistoryEstimate) else Verdict.INCONCLUSIVE
    if isinstance(said, str) or verdict is Verdict.INCONCLUSIVE:
        silent = said if isinstance(said, str) else f"its sessions differ by {differ_text(said)}, and so may these"
        why = f"{OTHER_SESSION}; {sessions_text(history.deviation, silent)}"
        return undecided(quantity, estimated, why, margin=margin, level=level)
    low, high = said.interval
    return Contrast(
        quantity=quantity.name,
        ratio=said.ratio,
        ci=said.interval,
        level=level,
        margin=margin,
        verdict={Verdict.LOWER: quantity.lower, Verdict.HIGHER: quantity.higher}.get(verdict, str(verdict)),
        significant=not low <= 1 <= high,
        beyond_margin=low > 1 + margin or high < 1 - margin,
        runs=estimated.runs,
        more_runs=0,
        drift=estimated.drift,
        decided_by=BY_HISTORY,
        reason=f"by the history of {said.sessions} sessions (they differ by {differ_text(said)})",
    )


def without_ratio(quantity: Quantity, why: str, runs: tuple[int, int], *, margin: float, level: float) -> Contrast:
    """Return that nothing is known of the ratio, because a side has too few runs for one."""
    return _not_decided(quantity, why, ratio=None, runs=runs, drift="none", margin=margin, level=level)


def undecided(quantity: Quantity, estimated: RatioEstimate, why: str, *, margin: float, level: float) -> Contrast:
    """Return the ratio without a verdict."""
    ratio, runs, drift = estimated.ratio, estimated.runs, estimated.drift
    return _not_decided(quantity, why, ratio=ratio, runs=runs, drift=drift, margin=margin, level=level)


def _not_decided(
    quantity: Quantity,
    why: str,
    *,
    ratio: float | None,
    runs: tuple[int, int],
    drift: str,
    margin: float,
    level: float,
) -> Contrast:
    return Contrast(
        quantity=quantity.name,
        ratio=ratio,
        ci=None,
        level=level,
        margin=margin,
        verdict=NOT_DECIDED,
        significant=False,
        beyond_margin=False,
        runs=runs,
        more_runs=None,
        drift=drift,
        decided_by=None,
        reason=why,
    )
