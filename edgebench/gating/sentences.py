"""What a gate says in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgebench.gating.metrics import KINDS, Metric
from edgebench.gating.result import BudgetResult
from edgebench.gating.rules import GateVerdict
from edgebench.text import printable, significant


def gate_sentence(
    budgets: Sequence[BudgetResult],
    anchored: Sequence[BudgetResult],
    *,
    candidate: str,
    mode: str,
) -> str:
    """Return the answer in one sentence: of the gravest budget first, then of all others that do not pass.

    Args:
        mode: of the sessions that decided, `alternating` or `interleaved`.
    """
    gravity = (GateVerdict.FAIL, GateVerdict.UNDECIDED, GateVerdict.PASS)
    ranked = sorted(budgets, key=lambda each: gravity.index(each.result))
    behind = [each for each in anchored if each.result is GateVerdict.FAIL]
    several = len({each.workload for each in budgets if each.workload is not None}) > 1
    if behind and all(each.result is not GateVerdict.FAIL for each in budgets):
        said = [anchor_sentence(each, candidate, several=several) for each in behind]
        said += [_of(each, mode, several=several) for each in ranked if each.result is GateVerdict.UNDECIDED]
        return printable("; ".join(said), 4000)
    told = [each for each in ranked if each.result is not GateVerdict.PASS] or ranked[:1]
    said = [_of(each, mode, several=several) for each in told]
    said += [anchor_sentence(each, candidate, several=several) for each in behind]
    said += [_open_anchor(each, several=several) for each in anchored if each.result is GateVerdict.UNDECIDED]
    holding = sum(each.result is GateVerdict.PASS for each in budgets) - (told[0].result is GateVerdict.PASS)
    if holding and len(budgets) > 1:
        said.append(f"{holding} other {'budget holds' if holding == 1 else 'budgets hold'}")
    return printable("; ".join(said), 4000)


def _of(found: BudgetResult, mode: str, *, several: bool) -> str:
    return _where(found, several) + budget_sentence(found, mode=mode)


def _where(found: BudgetResult, several: bool) -> str:
    return f"{found.workload}: " if several and found.workload is not None else ""


def budget_sentence(found: BudgetResult, *, mode: str) -> str:
    """Return what one budget says in words."""
    if found.ratio is None or found.metric is Metric.SIZE:
        return _absolute(found)
    if found.disagrees:
        what = "" if found.metric is Metric.LATENCY else f" about {KINDS[found.metric].title}"
        return f"two sessions disagree{what} ({_ratio(found, found.ratio)}, {_ratio(found, found.repeated)})"
    level = f"{100 * (found.level or 0.0):.4g}"
    what = "" if found.metric is Metric.LATENCY else f"{KINDS[found.metric].title} "
    seen, noun = _percent(found.detectable), "slowdown" if _is_time(found) else "growth"
    match found.result:
        case GateVerdict.PASS:
            runs = f"{found.runs[0]} + {found.runs[1]} runs" if found.runs is not None else ""
            return (
                f"passed: {what}not {_worse(found)} than {found.against} by {_percent(found.margin)} or more (ratio "
                f"{_ratio(found, found.ratio)}, {level} % upper bound {_ratio(found, found.upper_bound)}; baseline "
                f"measured again, {mode}, {runs}; a {noun} of {seen} would have been seen)"
            )
        case GateVerdict.FAIL:
            return (
                f"failed: {what}{_worse(found)} in two sessions ({_ratio(found, found.ratio)}, "
                f"{_ratio(found, found.repeated)}; {level} % {_interval(found)})"
            )
        case _:
            runs = f" after {found.runs[0]} + {found.runs[1]} runs" if found.runs is not None else ""
            return f"undecided: {what}{_interval(found)}{runs}; only a {noun} of {seen} would have been seen"


def anchor_sentence(found: BudgetResult, candidate: str, *, several: bool = False) -> str:
    """Return the sentence of a candidate that is slower than the pinned anchor."""
    slower = _percent(found.ratio - 1) if found.ratio is not None else "?"
    return f"{_where(found, several)}{candidate} passes, but is {slower} slower than {found.against}"


def _open_anchor(found: BudgetResult, *, several: bool) -> str:
    if found.disagrees:
        said = f"two sessions disagree ({_ratio(found, found.ratio)}, {_ratio(found, found.repeated)})"
    else:
        said = f"undecided: {_interval(found)}; only a slowdown of {_percent(found.detectable)} would have been seen"
    return f"{_where(found, several)}against {found.against}, {said}"


def _absolute(found: BudgetResult) -> str:
    title, detail = KINDS[found.metric].title, f" of {found.detail}" if found.detail else ""
    if found.metric is Metric.SCORE:
        lost = (found.baseline_value or 0.0) - (found.value or 0.0)
        words = {
            GateVerdict.PASS: f"passed: score{detail} {-lost:+.2f} points, at most {found.ceiling:g} may be lost",
            GateVerdict.FAIL: f"failed: score{detail} {-lost:+.2f} points, at most {found.ceiling:g} may be lost",
        }
        return words.get(found.result, f"undecided: score{detail} {-lost:+.2f} points, {_loss_interval(found)}")
    value = shown(found.value, found.unit)
    if found.ceiling is None:  # the size, relative
        limit = f"{_percent(found.margin)} above {found.against}'s {shown(found.baseline_value, found.unit)}"
    else:
        limit = shown(found.ceiling, found.unit)
    bound = f" ({_level(found)} upper bound {shown(found.upper_bound, found.unit)})" if found.level is not None else ""
    if found.disagrees:
        again = shown(found.repeated, found.unit)
        return f"two sessions disagree about {title} ({value}, {again}; the limit is {limit})"
    match found.result:
        case GateVerdict.PASS:
            return f"passed: {title} {value}{bound} is within {limit}"
        case GateVerdict.FAIL:
            again = f", {shown(found.repeated, found.unit)}" if found.repeated is not None else ""
            return f"failed: {title} is above {limit}{' in two sessions' if again else ''} ({value}{again})"
        case _:
            return f"undecided: {title} {value}{bound} is too near to {limit}"


def _level(found: BudgetResult) -> str:
    return f"{100 * (found.level or 0.0):.4g} %"


def _loss_interval(found: BudgetResult) -> str:
    if found.interval is None:
        return "without an interval"
    low, high = found.interval
    return f"{-high:+.2f} to {-low:+.2f}, at most {found.ceiling:g} may be lost"


def _is_time(found: BudgetResult) -> bool:
    return found.metric in (Metric.LATENCY, Metric.P95)


def _worse(found: BudgetResult) -> str:
    return "slower" if _is_time(found) else "more"


def _decimals(found: BudgetResult) -> int:
    """Return how many decimals a ratio is worth: two digits of its interval's width."""
    width = found.interval[1] - found.interval[0] if found.interval is not None else 0.0
    return max(2, min(6, 1 - math.floor(math.log10(width)))) if width > 0 else 3


def _ratio(found: BudgetResult, value: float | None) -> str:
    return f"{value:.{_decimals(found)}f}" if value is not None else "?"


def _interval(found: BudgetResult) -> str:
    low, high = found.interval or (None, None)
    return f"{_ratio(found, low)} to {_ratio(found, high)}"


def _percent(share: float | None) -> str:
    return f"{100 * share:.2g} %" if share is not None and 100 * share < 99.5 else f"{100 * (share or 0.0):.0f} %"


def shown(value: float | None, unit: str) -> str:
    """Return a figure with its unit, as people read it."""
    if value is None:
        return "not measured"
    if unit == "bytes":
        return f"{significant(value / 1e6)} MB" if value >= 1e5 else f"{significant(value / 1e3)} kB"
    return f"{significant(value)} {unit}"
