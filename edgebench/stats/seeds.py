"""The difference between two ways to train, in points, over the seeds of their checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgebench.errors import NotComparable
from edgebench.stats.two_tails import TwoTails


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedDifference(TwoTails):
    """The difference between two ways to train, from one score per checkpoint. `n`: of the side that has fewer.

    Student's: of the differences where each seed is on both sides, else Welch's (1947).
    """

    effect: float
    standard_error: float
    df: float
    n: int
    method: str

    def interval(self, level: float) -> tuple[float, float]:
        """Return the two-sided interval of the difference."""
        from scipy.special import stdtrit

        half = float(stdtrit(self.df, (1 + level) / 2)) * self.standard_error
        return self.effect - half, self.effect + half

    def p_below(self, bound: float) -> float:
        return self._tail(bound - self.effect)

    def p_above(self, bound: float) -> float:
        return self._tail(self.effect - bound)

    def _tail(self, distance: float) -> float:
        from scipy.special import stdtr

        if self.standard_error == 0:
            return 0.0 if distance > 0 else (0.5 if distance == 0 else 1.0)
        return float(stdtr(self.df, -distance / self.standard_error))


def seed_difference(baseline: Mapping[int, float], candidate: Mapping[int, float]) -> SeedDifference:
    """Return an estimate of how far two ways to train differ, from the score of each seed's checkpoint.

    Raises:
        NotComparable: either side has fewer than two.
    """
    import numpy as np

    sizes = (len(baseline), len(candidate))
    if min(sizes) < 2:
        raise NotComparable(f"two checkpoints of each side needed, got {sizes[0]} and {sizes[1]}")
    if set(baseline) == set(candidate):
        differences = np.array([candidate[seed] - baseline[seed] for seed in baseline])
        return SeedDifference(
            effect=float(differences.mean()),
            standard_error=float(differences.std(ddof=1)) / len(differences) ** 0.5,
            df=len(differences) - 1,
            n=len(differences),
            method="Student's t over pairs of seeds",
        )
    sides = [np.array(list(side.values())) for side in (baseline, candidate)]
    parts = [float(side.var(ddof=1)) / len(side) for side in sides]
    spread = sum(part**2 / (len(side) - 1) for part, side in zip(parts, sides, strict=True))
    return SeedDifference(
        effect=float(sides[1].mean() - sides[0].mean()),
        standard_error=sum(parts) ** 0.5,
        df=sum(parts) ** 2 / spread if spread else sum(sizes) - 2,
        n=min(sizes),
        method="Welch's t over checkpoints",
    )
