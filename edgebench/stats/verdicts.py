"""What an estimated ratio allows to be said: equivalence first; several comparisons at once; planned looks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import accumulate
from typing import Protocol

from edgebench.stats.ratio import PAIRS, RatioEstimate

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


class Estimate(Protocol):
    """An estimated effect (a log ratio, a difference of scores) with what a verdict needs of it."""

    @property
    def effect(self) -> float:
        """Below 0: the candidate's figure is the lower one."""
        ...

    def p_different(self) -> float:
        """Return the p-value against no effect, two-sided."""
        ...

    def p_equivalent(self, margin: float) -> float:
        """Return the p-value against an effect beyond the margin."""
        ...


def judge(estimate: RatioEstimate, *, margin: float, level: float) -> Verdict:
    """Return what may be said of one comparison at this level (1 - alpha), equivalence first."""
    return judge_all([estimate], margin=margin, level=level)[0].verdict


def is_beyond(estimate: RatioEstimate, *, margin: float, level: float) -> bool:
    """Whether all of the interval lies outside 1 ± margin: the difference is not only there but matters."""
    low, high = estimate.interval(level)
    return low > 1 + margin or high < 1 - margin


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is said of one of several comparisons. `level`: of the two-sided interval that bears the verdict out.

    Of an equivalence it is 1 - 2 alpha (90 % at the level 95 %), because two one-sided tests at alpha are that interval
    inside the margin (Schuirmann 1987); of all else 1 - alpha.

    `significant`: whether it was shown that the ratio is not 1, whatever the verdict.
    """

    verdict: Verdict
    level: float
    significant: bool


def judge_all(estimates: Sequence[Estimate], *, margin: float, level: float, looks: int = 1) -> list[Judgement]:
    """Return what may be said of each of several comparisons at one of so many planned looks, equivalence first.

    Holm's procedure is applied to the nulls of no difference and, apart from them, to those of a difference beyond the
    margin. So, of all comparisons and looks together, a false "lower" or "higher" has at most 1 - level, and so has a
    false "equivalent". One ranking of both kinds would not do: a comparison that is decided as equivalent would make
    way for the next one, although its null of no difference may still be true, and the least equal of ten equal ones
    would be judged as if it were alone.
    """
    groups = judge_groups([[each] for each in estimates], margin=margin, level=level, looks=looks)
    return [judgement for (judgement,) in groups]


def judge_groups(
    groups: Sequence[Sequence[Estimate]], *, margin: float, level: float, looks: int = 1
) -> list[list[Judgement]]:
    """Return what may be said of each estimate of several groups: a group is what one verdict is about.

    As `judge_all` over the estimates of all groups, but for groups that are equivalent as a whole. To say that all of a
    group is equivalent needs no correction within it: each null must be rejected, so that the largest p-value is one of
    the whole (an intersection-union test, Berger 1982). Holm's procedure is applied to these.
    """
    alpha = 1 - look_level(level, looks)
    flat = [each for group in groups for each in group]
    p_different = [each.p_different() for each in flat]
    p_equivalent = [each.p_equivalent(margin) for each in flat]
    for_difference, for_equivalence = holm_alphas(p_different, alpha), holm_alphas(p_equivalent, alpha)
    ends = list(accumulate(len(group) for group in groups))
    spans = [range(end - len(group), end) for end, group in zip(ends, groups, strict=True)]
    of_groups = [max((p_equivalent[at] for at in span), default=1.0) for span in spans]
    judged = []
    for span, p_of_group, for_group in zip(spans, of_groups, holm_alphas(of_groups, alpha), strict=True):
        of_group = []
        for at in span:
            significant = p_different[at] <= for_difference[at]
            bound = for_group if p_of_group <= for_group else for_equivalence[at]
            if p_equivalent[at] <= bound:
                verdict, its_level = Verdict.EQUIVALENT, 1 - 2 * bound
            else:
                direction = Verdict.LOWER if flat[at].effect < 0 else Verdict.HIGHER
                verdict, its_level = direction if significant else Verdict.INCONCLUSIVE, 1 - for_difference[at]
            of_group.append(Judgement(verdict=verdict, level=its_level, significant=significant))
        judged.append(of_group)
    return judged


def is_decided(judged: Iterable[Judgement]) -> bool:
    """Whether nothing is left inconclusive: then a session that measures until it is decided may stop."""
    return all(each.verdict is not Verdict.INCONCLUSIVE for each in judged)


def holm_alphas(p_values: Sequence[float], alpha: float) -> list[float]:
    """Return what each p-value of a family is held against (Holm 1979).

    The k-th smallest of m is held against alpha / (m - k + 1), and from the first that fails on, all are held against
    what that one was.
    """
    count = len(p_values)
    alphas = [0.0] * count
    share, has_failed = alpha, False
    for rank, index in enumerate(sorted(range(count), key=lambda at: p_values[at])):
        if not has_failed:
            share = alpha / (count - rank)
            has_failed = p_values[index] > share
        alphas[index] = share
    return alphas


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

    runs = min(estimate.runs)
    if judge(estimate, margin=margin, level=level) is not Verdict.INCONCLUSIVE:
        return 0
    # What a run more of each side adds: an observation each, or the one of the pair.
    added = 1 if estimate.drift == PAIRS else 2
    for count in range(runs + 1, MOST_RUNS + 1):
        shrunk = estimate.standard_error * math.sqrt(runs / count)
        df = max(1.0, estimate.df + added * count - (runs if added == 1 else sum(estimate.runs)))
        planned = replace(estimate, standard_error=shrunk, df=df, runs=(count, count))
        if judge(planned, margin=margin, level=level) is not Verdict.INCONCLUSIVE:
            return count - runs
    return None
