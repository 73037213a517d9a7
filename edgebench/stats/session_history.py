"""What earlier sessions of a board say of a later one: how far its figure may lie from theirs by chance.

Sessions of one board differ by more than runs of one session do, so two sessions say nothing by themselves. Many
sessions of one file show how much they differ. The interval is that of one new observation (a prediction interval:
t s sqrt(1 + 1/k) around the mean of k), widened because successive sessions resemble each other. It is around the mean
of the sessions, never around one of them: that would be wrong in 5 to 9 % of cases (`benchmarks.metrology`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from edgebench.stats.verdicts import Verdict
from edgebench.text import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Figures = NDArray[np.float64]

LEAST_SESSIONS = 12
LEAST_DAYS = 3.0
#: A longer time between two sessions is a gap: the board may have changed in it.
LONGEST_PAUSE_DAYS = 14.0
#: So is one that is so much of the whole time: two afternoons of many sessions are two days, not a history.
LONGEST_PAUSE_SHARE = 0.5
#: Median absolute deviations from the median, beyond which a figure is not one of a quiet board.
MOST_DEVIATIONS = 5.0
#: For sessions that resemble the one before (autocorrelation 0.7 to 0.9), and for an sd that came out small by chance.
WIDENING = 1.3

_DAY_S = 86_400.0
#: A standard deviation from fewer degrees of freedom says next to nothing.
_LEAST_DF = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEstimate:
    """A session's figure against the mean of the history's, on the log scale, and how far sessions differ by chance."""

    log_ratio: float
    half_width: float
    sessions: int

    @property
    def ratio(self) -> float:
        """The session's figure / the mean of the history's."""
        import math

        return math.exp(self.log_ratio)

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of the ratio."""
        import math

        return math.exp(self.log_ratio - self.half_width), math.exp(self.log_ratio + self.half_width)

    def is_narrow(self, margin: float) -> bool:
        """Whether sessions differ by less than the margin, so that the history may speak about it."""
        import math

        return self.half_width <= math.log1p(margin)

    def verdict(self, margin: float) -> Verdict:
        """Return what is said: equivalence first, as everywhere."""
        import math

        low, high = self.log_ratio - self.half_width, self.log_ratio + self.half_width
        if math.log1p(-margin) <= low and high <= math.log1p(margin):
            return Verdict.EQUIVALENT
        if low > 0:
            return Verdict.HIGHER
        return Verdict.LOWER if high < 0 else Verdict.INCONCLUSIVE


def history_problem(logs: Figures, times_s: Sequence[float], at_s: float) -> str | None:
    """Return why sessions are no history that may speak of the session at `at_s`; None where they are.

    Args:
        logs: shape (sessions,), the logarithm of the figure of each.
        times_s: when each began, seconds, in any order.
        at_s: when the session began that they speak of.
    """
    import numpy as np

    if len(logs) < LEAST_SESSIONS:
        return f"{counted(len(logs), 'session')} of this file, {LEAST_SESSIONS} are needed"
    times = sorted(times_s)
    days = (times[-1] - times[0]) / _DAY_S
    if days < LEAST_DAYS:
        return f"the sessions are of {days:.1f} days, {LEAST_DAYS:g} are needed"
    if (pause := max(later - earlier for earlier, later in pairwise(times)) / _DAY_S) > LONGEST_PAUSE_SHARE * days:
        return f"the history has a gap: {pause:.1f} of its {days:.1f} days are without a session"
    pause = max(later - earlier for earlier, later in pairwise(sorted([*times, at_s]))) / _DAY_S
    if pause > LONGEST_PAUSE_DAYS:
        return f"the history has a gap of {pause:.0f} days, {LONGEST_PAUSE_DAYS:g} are allowed"
    distances = np.abs(logs - np.median(logs))
    if (typical := float(np.median(distances))) == 0:
        return "the sessions have the same figure, which no real board has"
    if (beyond := int(np.sum(distances > MOST_DEVIATIONS * typical))) > 0:
        return f"{beyond} of {len(logs)} sessions lie far from the others"
    return None


def estimate_by_history(logs: Figures, log_figure: float, *, level: float) -> HistoryEstimate:
    """Return a session's figure against those of earlier sessions.

    Args:
        logs: shape (sessions,), at least two: the logarithm of the figure of each.
        log_figure: that of the session they speak of, which is not among them.
        level: two-sided confidence level, e.g. 0.95.
    """
    import numpy as np
    from scipy.special import stdtrit

    count = len(logs)
    quantile = float(stdtrit(count - 1, (1 + level) / 2))
    return HistoryEstimate(
        log_ratio=log_figure - float(np.mean(logs)),
        half_width=WIDENING * quantile * float(np.std(logs, ddof=1)) * float(np.sqrt(1 + 1 / count)),
        sessions=count,
    )


def pooled_deviation(groups: Iterable[Sequence[float]]) -> tuple[float, int] | None:
    """Return by how much sessions differ, and how many they are; None: too few to say.

    Args:
        groups: the logarithms of the sessions' figures, a group for each file.

    Returns:
        The standard deviation within groups on the log scale, and the number of sessions that it is from.
    """
    import numpy as np

    several = [np.asarray(group, np.float64) for group in groups if len(group) > 1]
    df = sum(len(group) - 1 for group in several)
    if df < _LEAST_DF:
        return None
    squares = sum(float(np.sum((group - group.mean()) ** 2)) for group in several)
    return float(np.sqrt(squares / df)), sum(map(len, several))
