"""The difference of two scores, candidate less baseline, in points, over the same examples.

The paired bootstrap, corrected for bias and skewness (BCa, Efron 1987). Where the two hardly differ it
has nothing to resample, and would say 0 ± 0 of thirty examples none of which changed. So where few examples differ, it
draws from two more, one that the candidate gains completely and one that it loses (as Agresti and Min 2005 do with
proportions). `python -m benchmarks.score_verdicts` shows how that does on known truths.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgebench.errors import NotComparable
from edgebench.stats.two_tails import TwoTails

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Figures = NDArray[np.float64]
    AnyArray = NDArray[Any]
    Counts = NDArray[np.int64]

_POINTS = 100.0
RESAMPLES = 9_999
_CHUNK = 4_000_000  # draws that are in memory at once
_DISTINCT = 16  # up to so many distinct differences, drawing how often each comes is faster than drawing examples
_BLOCKS = 2000  # that many examples are summed up to, where F1 is resampled
_FEW = 10  # examples that differ; of fewer, a bootstrap sees too little


def align(
    baseline: tuple[Sequence[Hashable], AnyArray], candidate: tuple[Sequence[Hashable], AnyArray]
) -> tuple[AnyArray, AnyArray]:
    """Return both sides' figures in the order of the baseline's examples.

    Args:
        baseline, candidate: ids and figures of the examples, shape (n, ...) each.

    Raises:
        NotComparable: an id twice, or not the same examples on both sides.
    """
    import numpy as np

    (ids, ours), (other_ids, theirs) = baseline, candidate
    at = {id: position for position, id in enumerate(other_ids)}
    if len(at) != len(other_ids) or len(set(ids)) != len(ids):
        raise NotComparable("an example stands in the results twice")
    if set(ids) != set(at):
        alone = len(set(ids) ^ set(at))
        raise NotComparable(f"scored on other examples: {alone} are on one side only")
    return np.asarray(ours), np.asarray(theirs)[[at[id] for id in ids]]


def estimate_difference(baseline: Figures, candidate: Figures, *, seed: int = 0) -> Bootstrap:
    """Return an estimate of the difference of the means of paired examples.

    Args:
        baseline, candidate: shape (n,), 0..100 points, the same examples in the same order.
        seed: of the resampling, so that the same results say the same twice.

    Raises:
        NotComparable: no example, not as many on both sides, or a figure that is not 0..100.
    """
    import numpy as np

    if not len(baseline) or len(baseline) != len(candidate):
        raise NotComparable(f"paired examples needed, got {len(baseline)} and {len(candidate)}")
    both = np.stack([baseline, candidate]).astype(np.float64)
    if not np.all((both >= 0) & (both <= _POINTS)):
        raise NotComparable("the score of an example is not 0..100")
    return _bootstrap(both[1] - both[0], seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap(TwoTails):
    """Sorted means of resampled differences, shape (RESAMPLES,), and the two constants of BCa."""

    effect: float
    n: int
    means: Figures
    bias: float
    skew: float
    method: str = field(default="paired bootstrap over examples (BCa)", init=False)

    def interval(self, level: float) -> tuple[float, float]:
        """Return the two-sided interval of the difference."""
        tail = (1 - level) / 2
        return self._quantile(tail), self._quantile(1 - tail)

    def p_below(self, bound: float) -> float:
        return _normal_tail(-self._z(bound, "left"))

    def p_above(self, bound: float) -> float:
        return _normal_tail(self._z(bound, "right"))

    def _quantile(self, share: float) -> float:
        import numpy as np
        from scipy.special import ndtr, ndtri

        z = self.bias + float(ndtri(share))
        return float(np.quantile(self.means, float(ndtr(self.bias + z / (1 - self.skew * z)))))

    def _z(self, bound: float, side: str) -> float:
        """Return how far above `bound` the difference lies, in standard normal deviates: the interval, inverted."""
        import numpy as np
        from scipy.special import ndtri

        count = len(self.means)
        below = int(np.searchsorted(self.means, bound, side=side))  # type: ignore[call-overload]
        share = min(max(below, 0.5), count - 0.5) / count  # as finely as so many resamples can say
        w = float(ndtri(share)) - self.bias
        return -(w / (1 + self.skew * w) - self.bias)


def _bootstrap(differences: Figures, seed: int) -> Bootstrap:
    import numpy as np
    from scipy.special import ndtri

    n = len(differences)
    pool = differences
    if np.count_nonzero(differences) < _FEW:
        pool = np.concatenate([differences, [-_POINTS, _POINTS]])
    means = np.sort(_resampled_means(pool, n, np.random.default_rng(seed)))
    centre = float(pool.mean())
    below = (np.searchsorted(means, centre, "left") + np.searchsorted(means, centre, "right")) / 2 / len(means)
    from_centre = pool - centre
    square = float((from_centre**2).sum())
    return Bootstrap(
        effect=float(differences.mean()),
        n=n,
        means=means,
        bias=float(ndtri(min(max(below, 0.5 / len(means)), 1 - 0.5 / len(means)))),
        skew=float((from_centre**3).sum()) / (6 * square**1.5) if square > 0 else 0.0,
    )


def estimate_f1_difference(baseline: Counts, candidate: Counts, *, seed: int = 0) -> Bootstrap:
    """Return an estimate of the difference of two F1 over paired examples, which are no means over these.

    Args:
        baseline, candidate: shape (n, 3): of each example, in the same order, how many are correct, predicted and
            expected.
        seed: of the resampling, so that the same results say the same twice.

    Raises:
        NotComparable: no example, not as many on both sides, or fewer predicted or expected than correct.
    """
    import numpy as np
    from scipy.special import ndtri

    n = len(baseline)
    if not n or baseline.shape != candidate.shape:
        raise NotComparable(f"paired examples needed, got {n} and {len(candidate)}")
    both = np.concatenate([baseline, candidate], axis=1).astype(np.float64)
    if np.any(both < 0) or np.any(both[:, [0, 0, 3, 3]] > both[:, [1, 2, 4, 5]]):
        raise NotComparable("an example has more that is correct than is predicted or expected")
    blocks = _in_blocks(both, np.random.default_rng([seed, 1]))
    pool = blocks
    if np.count_nonzero((both[:, :3] != both[:, 3:]).any(axis=1)) < _FEW:
        size = float(blocks[:, 2].mean())
        right, wrong = [size, size, size], [0.0, size, size]
        pool = np.concatenate([blocks, [right + wrong, wrong + right]])
    random, rows = np.random.default_rng(seed), max(1, _CHUNK // (len(blocks) * both.shape[1]))
    values = np.sort(
        np.concatenate(
            [
                _f1_difference(
                    pool[random.integers(0, len(pool), (min(rows, RESAMPLES - at), len(blocks)))].sum(axis=1)
                )
                for at in range(0, RESAMPLES, rows)
            ]
        )
    )
    centre = float(_f1_difference(pool.sum(axis=0)))
    below = (np.searchsorted(values, centre, "left") + np.searchsorted(values, centre, "right")) / 2 / len(values)
    without = _f1_difference(pool.sum(axis=0) - pool)  # the jackknife: each left out
    away = without.mean() - without
    square = float((away**2).sum())
    return Bootstrap(
        effect=float(_f1_difference(both.sum(axis=0))),
        n=n,
        means=values,
        bias=float(ndtri(min(max(below, 0.5 / len(values)), 1 - 0.5 / len(values)))),
        skew=float((away**3).sum()) / (6 * square**1.5) if square > 0 else 0.0,
    )


def _in_blocks(both: Figures, random: np.random.Generator) -> Figures:
    """Return the sums of at most `_BLOCKS` random groups of examples, as good to resample as the examples are."""
    import numpy as np

    if len(both) <= _BLOCKS:
        return both
    shuffled = both[random.permutation(len(both))]
    return np.add.reduceat(shuffled, np.linspace(0, len(both), _BLOCKS, endpoint=False).astype(np.int64), axis=0)


def _f1_difference(sums: Figures) -> Figures:
    """Return candidate less baseline, points; sums: shape (..., 6), the counts of the baseline, then the candidate."""
    import numpy as np

    baseline, candidate = (
        2 * _POINTS * side[..., 0] / np.maximum(side[..., 1] + side[..., 2], 1) for side in np.split(sums, 2, axis=-1)
    )
    return np.asarray(candidate - baseline)


def _resampled_means(pool: Figures, n: int, random: np.random.Generator) -> Figures:
    """Return the means of n examples drawn from the pool, shape (RESAMPLES,)."""
    import numpy as np

    values, counts = np.unique(pool, return_counts=True)
    rows = max(1, _CHUNK // n)
    parts = []
    for start in range(0, RESAMPLES, rows):
        size = min(rows, RESAMPLES - start)
        if len(values) <= _DISTINCT:
            parts.append(random.multinomial(n, counts / len(pool), size=size) @ values / n)
        else:
            parts.append(pool[random.integers(0, len(pool), (size, n))].mean(axis=1))
    return np.concatenate(parts)


def _normal_tail(z: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(-z))
