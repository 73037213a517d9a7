"""The rules of a gate, as pure functions: what a look at the data allows to be said, and what two sessions say.

Looks after 6, 12 and 20 runs at alpha 0.019 each keep 5 % in all (simulated by `benchmarks.metrology`; 0.0205 gave
5.4 %).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

#: Runs of each side at which the data are examined, and the alpha of each of these looks.
LOOKS = (6, 12, 20)
LOOK_ALPHA = 0.019
#: Probability with which the smallest detectable slowdown would have been found.
POWER = 0.8
#: Models alternate where the runs of one spread by more than this (standard deviation of logarithms).
ALTERNATE_ABOVE = 0.01


class GateVerdict(StrEnum):
    """What a gate says of a budget, and of all of them."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    UNDECIDED = "undecided"


class LogEstimate(Protocol):
    """An estimated log ratio with its standard error and degrees of freedom; `RatioEstimate` is one."""

    @property
    def log_ratio(self) -> float:
        """Log of candidate / baseline."""

    @property
    def standard_error(self) -> float:
        """Of the log ratio."""

    @property
    def df(self) -> float:
        """Degrees of freedom of the standard error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanEstimate:
    """The mean log of a figure over runs, relative to a ceiling: below 0, it is within."""

    log_ratio: float
    standard_error: float
    df: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What an estimate says at one level, as ratios.

    `upper`: the one-sided 1 - alpha bound. `interval`: two-sided 1 - alpha. `detectable`: the smallest slowdown that
    the two-sided test would have found in four of five cases (0.016: 1.6 %).
    """

    ratio: float
    upper: float
    interval: tuple[float, float]
    detectable: float


def bounds_of(estimate: LogEstimate, *, alpha: float = LOOK_ALPHA) -> Bounds:
    """Return the bounds of a ratio at one look."""
    log_ratio, error = estimate.log_ratio, estimate.standard_error
    half = _t(1 - alpha / 2, estimate.df) * error
    return Bounds(
        ratio=math.exp(log_ratio),
        upper=math.exp(log_ratio + _t(1 - alpha, estimate.df) * error),
        interval=(math.exp(log_ratio - half), math.exp(log_ratio + half)),
        detectable=math.expm1(half + _t(POWER, estimate.df) * error),
    )


def judge(estimate: LogEstimate, *, margin: float, alpha: float = LOOK_ALPHA) -> GateVerdict:
    """Return what one look says of candidate / baseline.

    Pass: the one-sided 1 - alpha upper bound lies below 1 + margin. Fail: not that, and the two-sided 1 - alpha
    interval lies above 1. With a margin of 0 and an estimate relative to a ceiling, the same rule judges the ceiling.
    """
    bounds = bounds_of(estimate, alpha=alpha)
    if bounds.upper < 1 + margin:
        return GateVerdict.PASS
    return GateVerdict.FAIL if bounds.interval[0] > 1 else GateVerdict.UNDECIDED


def mean_against(figures: Sequence[float], ceiling: float) -> MeanEstimate | None:
    """Return the geometric mean of the figures of runs relative to a ceiling; None for fewer than two runs.

    Args:
        figures: shape (runs,), > 0, in the unit of the ceiling.
    """
    import numpy as np

    if len(figures) < 2:
        return None
    logs = np.log(np.asarray(figures, np.float64) / ceiling)
    error = float(logs.std(ddof=1)) / math.sqrt(len(logs))
    return MeanEstimate(log_ratio=float(logs.mean()), standard_error=error, df=len(logs) - 1)


def confirm(repeated: GateVerdict) -> GateVerdict:
    """Return what a failure counts for once its repetition in a new session is there: only a second one confirms it."""
    return GateVerdict.FAIL if repeated is GateVerdict.FAIL else GateVerdict.UNDECIDED


def together(verdicts: Iterable[GateVerdict]) -> GateVerdict:
    """Return the verdict on all budgets: a failure counts more than an undecided one, and that more than a pass."""
    found = set(verdicts)
    return next((each for each in (GateVerdict.FAIL, GateVerdict.UNDECIDED) if each in found), GateVerdict.PASS)


def must_alternate(spreads: Iterable[float]) -> bool:
    """Whether the runs of one model spread too much to be compared one after the other."""
    return any(spread > ALTERNATE_ABOVE for spread in spreads)


def _t(probability: float, df: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, probability))
