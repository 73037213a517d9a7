"""The difference of two shares of right answers to the same examples: McNemar's exact test and an interval to match.

Of `n` examples `gained` became right and `lost` became wrong. The test of no difference takes those as coin throws
(McNemar's test, exact, not mid-p, so that its level holds for any number of examples). The interval and the tests
against other differences are those of Fay and Lumbard (2021), which exclude 0 exactly where the test does: Clopper and
Pearson's bounds on the share that changed, and on the part of it that was gained, are combined by melding. The usual
intervals (Wald, Tango's score, the bootstrap) contain 0 where the exact test says different, or the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from edgebench.stats.two_tails import TwoTails

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Figures = NDArray[np.float64]

_POINTS = 100.0
_NODES = 128  # of the quadrature
_TINY = 1e-14  # probability beyond the bounds of the quadrature


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactMcNemar(TwoTails):
    """Examples that became right and that became wrong, of `n`; differences in points."""

    gained: int
    lost: int
    n: int
    method: str = field(default="exact McNemar test, interval of Fay and Lumbard (2021)", init=False)

    @property
    def effect(self) -> float:
        """Candidate less baseline, points."""
        return _POINTS * (self.gained - self.lost) / self.n

    def interval(self, level: float) -> tuple[float, float]:
        """Return the two-sided interval of the difference, points."""
        return self.inverted(level, -_POINTS, _POINTS)

    def p_above(self, bound: float) -> float:
        return _p_above(self.gained, self.lost, self.n, bound / _POINTS)

    def p_below(self, bound: float) -> float:
        return _p_above(self.lost, self.gained, self.n, -bound / _POINTS)


def _p_above(gained: int, lost: int, n: int, bound: float) -> float:
    """Return the p-value against a difference of shares of `bound` or less.

    It is P[T (2 B - 1) <= bound]: T, the share that changed, is Beta(m, n - m + 1) where a smaller one means a smaller
    difference, else Beta(m + 1, n - m); B, the part that was gained, is Beta(gained, lost + 1).
    """
    from scipy.special import betainc, betaincc

    changed = gained + lost
    if bound >= 1 or (bound >= 0 and not gained):
        return 1.0
    if bound <= -1 or not gained:  # then B is 0
        is_certain = changed == n and not gained
        return 1.0 if is_certain else 0.0 if bound <= -1 else float(betaincc(changed + 1, n - changed, -bound))
    if bound == 0:
        return float(betainc(gained, lost + 1, 0.5))
    edge = (1 + bound) / 2  # beyond it, not even all examples would do, had they changed
    if bound > 0:
        share, part = _nodes(gained, lost, edge, 1.0)
        beyond = part @ betainc(changed, n - changed + 1, bound / (2 * share - 1))
        return float(betainc(gained, lost + 1, edge) + beyond)
    share, part = _nodes(gained, lost, 0.0, edge)
    if changed == n:
        return float(part.sum())
    return float(part @ betaincc(changed + 1, n - changed, -bound / (1 - 2 * share)))


@cache
def _legendre() -> tuple[Figures, Figures]:
    import numpy as np

    return np.polynomial.legendre.leggauss(_NODES)


def _nodes(gained: int, lost: int, low: float, high: float) -> tuple[Figures, Figures]:
    """Return nodes of B ~ Beta(gained, lost + 1) between two values, and their probabilities (Gauss and Legendre)."""
    import numpy as np
    from scipy.special import betaincinv, betaln

    a, b = gained, lost + 1
    low, high = max(low, float(betaincinv(a, b, _TINY))), min(high, float(betaincinv(a, b, 1 - _TINY)))
    if high <= low:
        return np.zeros(0), np.zeros(0)
    nodes, weights = _legendre()
    share = low + (high - low) * (nodes + 1) / 2
    density = np.exp((a - 1) * np.log(share) + (b - 1) * np.log1p(-share) - betaln(a, b))
    return share, weights * (high - low) / 2 * density
