"""The mean difference of paired examples, with examples that share a text counted as one: a sign-flip test.

Where two files answer equally well, it is chance which of the two answers an example better, so the sign of each
example's difference may be flipped, and the share of flips with at least the observed mean is an exact p-value (Fisher
1935, chapter 3). Questions about one paragraph are flipped together. Against another difference than 0, that one is
subtracted first, and the two files are taken to differ by chance around it.

Flips are symmetric, and rare large losses are not. So whoever claims that the candidate is *not* worse (or better) by
some margin needs a second test that agrees: Student's t of clusters, corrected for skewness (Hall 1992). Better and
worse need the flips alone, which are exact there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgebench.stats.two_tails import TwoTails

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Figures = NDArray[np.float64]

FLIPS = 9_999
_POINTS = 100.0
_CHUNK = 2_000_000  # draws that are in memory at once
_BLOCKS = 2_000  # that many clusters are flipped by themselves; more are first put together at random
_FEW = 10  # clusters that differ; of fewer, a spread says too little
_ROUNDING = 1e-9
#: P[sum of x under flips >= t sd] <= this many times the normal tail: Bentkus and Dzindzalieta (2015).
_TAIL = 3.178


@dataclass(frozen=True, slots=True, kw_only=True)
class SignFlips(TwoTails):
    """Differences summed up over clusters, points, shape (clusters,), and the number of examples of each.

    means: of random halves of the clusters, sorted, shape (FLIPS,): the mean of those that a flip turns is at most b
    where the flip leaves a mean of at least the observed one, once b is subtracted. `everywhere`: draws of no cluster,
    which count on both sides.
    """

    effect: float
    n: int
    sums: Figures
    sizes: Figures
    means: Figures
    everywhere: int
    is_clustered: bool
    method: str = field(init=False)

    def __post_init__(self) -> None:
        units = f"{len(self.sums)} texts that examples share" if self.is_clustered else "examples"
        object.__setattr__(self, "method", f"sign flips of {units}, and Student's t corrected for skewness")

    def interval(self, level: float) -> tuple[float, float]:
        """Return the two-sided interval of the difference, points."""
        return self.inverted(level, -_POINTS, _POINTS)

    def p_above(self, bound: float) -> float:
        return self._p(bound, 1)

    def p_below(self, bound: float) -> float:
        return self._p(bound, -1)

    def _p(self, bound: float, sign: int) -> float:
        by_flips = self._p_of_flips(bound, sign)
        if sign * bound >= 0:
            return by_flips
        # What is better is not worse by a margin either, so this p-value is never the larger one.
        return min(max(by_flips, self._p_of_t(bound, sign)), self._p_of_flips(0.0, sign))

    def _p_of_flips(self, bound: float, sign: int) -> float:
        import numpy as np
        from scipy.special import ndtr

        if sign > 0:
            far = int(np.searchsorted(self.means, bound + _ROUNDING, side="right"))
        else:
            far = len(self.means) - int(np.searchsorted(self.means, bound - _ROUNDING, side="left"))
        share = (1 + self.everywhere + far) / (1 + self.everywhere + len(self.means))
        away = self.sums - bound * self.sizes
        spread = math.sqrt(float(away @ away))
        tail = _TAIL * float(ndtr(-sign * float(away.sum()) / spread)) if spread else 1.0
        return min(share, tail)

    def _p_of_t(self, bound: float, sign: int) -> float:
        from scipy.special import stdtr

        count, error, skew, df = self._spread()
        if not error:
            return 1.0
        distance = (self.effect - bound) / (error * math.sqrt(count))
        t = distance + skew * distance**2 / 3 + skew**2 * distance**3 / 27 + skew / (6 * count)
        return float(stdtr(df, -sign * math.sqrt(count) * t))

    def _spread(self) -> tuple[int, float, float, float]:
        """Return the number of clusters, the standard error of the mean, the skewness, and the degrees of freedom.

        Where few clusters differ, two more do: one wholly gained and one wholly lost (as Agresti and Min 2005 do).
        """
        import numpy as np

        away = self.sums - self.effect * self.sizes
        if np.count_nonzero(self.sums) < _FEW:
            size = float(self.sizes.mean())
            away = np.concatenate([away, [-_POINTS * size, _POINTS * size]])
        count, square = len(away), float(away @ away)
        if len(self.sums) < 2 or not square:
            return count, 0.0, 0.0, 1.0
        error = math.sqrt(count / (count - 1) * square) / float(self.sizes.sum())
        skew = float((away**3).mean()) / (square / count) ** 1.5
        # Clusters that don't differ say little of the spread; large ones say more: so many equal ones (Kish).
        sizes = self.sizes[np.abs(self.sums) > _ROUNDING]
        df = float(sizes.sum() ** 2 / (sizes @ sizes)) - 1 if len(sizes) else 0.0
        return count, error, skew, max(df, _FEW - 1.0)


def sign_flips(differences: Figures, clusters: NDArray[np.int64] | None, *, seed: int) -> SignFlips:
    """Return the estimate of a mean difference.

    Args:
        differences: shape (n,), points.
        clusters: shape (n,), of each example which text it is about; None: each is about its own.
        seed: of the flips, so that the same results say the same twice.
    """
    import numpy as np

    sums, sizes = _summed(differences, clusters)
    means, everywhere = _flipped_means(sums, sizes, np.random.default_rng(seed))
    return SignFlips(
        effect=float(differences.mean()),
        n=len(differences),
        sums=sums,
        sizes=sizes,
        means=means,
        everywhere=everywhere,
        is_clustered=len(sums) < len(differences),
    )


def _summed(differences: Figures, clusters: Any) -> tuple[Figures, Figures]:
    import numpy as np

    if clusters is None:
        return differences, np.ones(len(differences))
    _, at = np.unique(clusters, return_inverse=True)
    sums, sizes = np.bincount(at, weights=differences), np.bincount(at)
    return sums.astype(np.float64), sizes.astype(np.float64)


def _flipped_means(sums: Figures, sizes: Figures, random: np.random.Generator) -> tuple[Figures, int]:
    """Return the sorted mean differences of random halves of the clusters, and how many draws took no cluster."""
    import numpy as np

    differ = np.abs(sums) > _ROUNDING
    totals = np.zeros((FLIPS, 2))
    for size, count in zip(*np.unique(sizes[~differ], return_counts=True), strict=True):
        totals[:, 1] += size * random.binomial(count, 0.5, FLIPS)
    both = _in_blocks(np.stack([sums[differ], sizes[differ]], axis=1), random)
    rows = max(1, _CHUNK // max(1, len(both)))
    for at in range(0, FLIPS, rows):
        part = totals[at : at + rows]
        octets = random.integers(0, 256, (len(part), -(-len(both) // 8)), dtype=np.uint8)
        part += np.unpackbits(octets, axis=1, count=len(both)).astype(np.float64) @ both
    taken = totals[totals[:, 1] > 0]
    return np.sort(taken[:, 0] / taken[:, 1]), FLIPS - len(taken)


def _in_blocks(both: Figures, random: np.random.Generator) -> Figures:
    """Return the sums of at most `_BLOCKS` random groups of clusters, which are as good to flip as the clusters are."""
    import numpy as np

    if len(both) <= _BLOCKS:
        return both
    shuffled = both[random.permutation(len(both))]
    return np.add.reduceat(shuffled, np.linspace(0, len(both), _BLOCKS, endpoint=False).astype(np.int64), axis=0)
