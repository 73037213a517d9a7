"""What an estimated ratio allows to be said: equivalence first; several comparisons at once; planned looks."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from edgebench.stats.ratio import RatioEstimate

LEVEL, MARGIN = 0.95, 0.03
#: Runs of each side at which `--until-decided` looks at the data, and the alpha of each of these looks: Pocock's for
#: four (0.0182 when equally spaced; these are not, and the tests are Student's), simulated by `benchmarks.metrology`.
LOOKS = (6, 12, 20, 40)
LOOK_ALPHA_OF_5_PERCENT = 0.0170
#: More runs than this are not recommended: the difference that is left to find is smaller than anything to act on.
MOST_RUNS = 200


class Verdict(StrEnum):
    """What is said of candidate / baseline."""

    EQUIVALENT = "equivalent"  # the 1 - 2 alpha interval lies inside 1 ± margin
    LOWER = "lower"  # the 1 - alpha interval lies below 1
    HIGHER = "higher"  # ... above 1
    INCONCLUSIVE = "inconclusive"


def judge(estimate: RatioEstimate, *, margin: float, level: float) -> Verdict:
    """Return what may be said at this level (1 - alpha), equivalence first."""
    alpha = 1 - level
    if estimate.p_equivalent(margin) <= alpha:
        return Verdict.EQUIVALENT
    if estimate.p_different() <= alpha:
        return Verdict.LOWER if estimate.log_ratio < 0 else Verdict.HIGHER
    return Verdict.INCONCLUSIVE


def is_beyond(estimate: RatioEstimate, *, margin: float, level: float) -> bool:
    """Whether the whole interval lies outside 1 ± margin: the difference is not only there but matters."""
    low, high = estimate.interval(level)
    return low > 1 + margin or high < 1 - margin


def holm_levels(estimates: Sequence[RatioEstimate], *, margin: float, level: float) -> list[float]:
    """Return the level at which each of several comparisons is judged and its interval shown (Holm 1979).

    Of each comparison at most one of its two null hypotheses (no difference; a difference beyond the margin) is
    true, so that the smaller of its p-values ranks it. The k-th smallest of m is held against alpha / (m - k + 1),
    and from the first that fails on, all are held against what that one was.
    """
    alpha, count = 1 - level, len(estimates)
    p_values = [min(each.p_different(), each.p_equivalent(margin)) for each in estimates]
    levels = [0.0] * count
    share = alpha / max(1, count)
    has_failed = False
    for rank, index in enumerate(sorted(range(count), key=lambda at: p_values[at])):
        if not has_failed:
            share = alpha / (count - rank)
            has_failed = p_values[index] > share
        levels[index] = 1 - share
    return levels


def look_level(level: float, looks: int) -> float:
    """Return the level of each of so many planned looks that together keep `level`."""
    if looks <= 1:
        return level
    return 1 - (1 - level) * LOOK_ALPHA_OF_5_PERCENT / 0.05


def more_runs(estimate: RatioEstimate, *, margin: float, level: float) -> int | None:
    """Return how many more runs of each side would decide if nothing but their number changed.

    0: it is decided. None: more than MOST_RUNS in all would be needed.
    """
    import math
    from dataclasses import replace

    runs = min(estimate.runs)
    if judge(estimate, margin=margin, level=level) is not Verdict.INCONCLUSIVE:
        return 0
    used = sum(estimate.runs) - estimate.df
    for count in range(runs + 1, MOST_RUNS + 1):
        shrunk = estimate.standard_error * math.sqrt(runs / count)
        planned = replace(estimate, standard_error=shrunk, df=max(1.0, 2 * count - used), runs=(count, count))
        if judge(planned, margin=margin, level=level) is not Verdict.INCONCLUSIVE:
            return count - runs
    return None
