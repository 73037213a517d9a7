"""Two-sided tests in terms of the one-sided ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

_PRECISION = 1e-6  # of an interval's ends, in the unit of the difference


class TwoTails(ABC):
    """A difference with one-sided tests against any bound."""

    @abstractmethod
    def p_below(self, bound: float) -> float:
        """Return the p-value against a difference of `bound` or more: small where it is surely below."""

    @abstractmethod
    def p_above(self, bound: float) -> float:
        """Return the p-value against a difference of `bound` or less."""

    def p_different(self) -> float:
        """Return the p-value against a difference of exactly 0, two-sided."""
        return min(1.0, 2 * min(self.p_below(0.0), self.p_above(0.0)))

    def p_equivalent(self, margin: float) -> float:
        """Return the p-value against a difference outside ±margin: two one-sided tests (Schuirmann 1987)."""
        return max(self.p_below(margin), self.p_above(-margin))

    def inverted(self, level: float, low: float, high: float) -> tuple[float, float]:
        """Return the differences between `low` and `high` that neither test refuses at (1 - level) / 2: an interval.

        It excludes 0 exactly where `p_different` is at most 1 - level.
        """
        tail = (1 - level) / 2
        return _bisect(lambda at: self.p_above(at) <= tail, low, high), -_bisect(
            lambda at: self.p_below(-at) <= tail, -high, -low
        )


def _bisect(is_refused: Callable[[float], bool], low: float, high: float) -> float:
    """Return up to where a condition holds that holds from `low` on; zero is looked at, as verdicts are about it."""
    if not is_refused(low):
        return low
    if low < 0 < high:
        low, high = (0.0, high) if is_refused(0.0) else (low, 0.0)
    while high - low > _PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if is_refused(middle) else (low, middle)
    return low
