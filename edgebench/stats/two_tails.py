"""Two-sided tests in terms of the one-sided ones."""

from __future__ import annotations


class TwoTails:
    """A difference with one-sided tests against any bound."""

    def p_below(self, bound: float) -> float:
        """Return the p-value against a difference of `bound` or more: small where it is surely below."""
        raise NotImplementedError

    def p_above(self, bound: float) -> float:
        """Return the p-value against a difference of `bound` or less."""
        raise NotImplementedError

    def p_different(self) -> float:
        """Return the p-value against a difference of exactly 0, two-sided."""
        return min(1.0, 2 * min(self.p_below(0.0), self.p_above(0.0)))

    def p_equivalent(self, margin: float) -> float:
        """Return the p-value against a difference outside ±margin: two one-sided tests (Schuirmann 1987)."""
        return max(self.p_below(margin), self.p_above(-margin))
