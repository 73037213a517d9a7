"""The percentile bootstrap over examples: what a score would be on other examples of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DRAWS = 2000
_BLOCK = 1 << 22  # positions that are in memory at a time

Statistic: TypeAlias = "Callable[[NDArray[np.int64]], NDArray[np.float64]]"


def bootstrap_interval(
    n: int, statistic: Statistic, *, level: float = 0.95, seed: int = 0, draws: int = DRAWS
) -> tuple[float, float] | None:
    """Return the two-sided percentile interval of a statistic over `n` examples, drawn with replacement.

    Args:
        statistic: takes positions of shape (draws, n), returns the value over each draw, shape (draws,). For a paired
            interval it is the difference of two values over the same draw.

    Returns:
        None where all draws give the same: examples that are all alike (all correct) say nothing about how far others
        would differ, and an interval without width would claim that they do.

    See Efron and Tibshirani (1993), chapter 13.
    """
    import numpy as np

    stream = np.random.default_rng(seed)
    rows = max(1, _BLOCK // n)
    parts = [
        statistic(stream.integers(0, n, (min(rows, draws - at), n), dtype=np.int64)) for at in range(0, draws, rows)
    ]
    values = np.concatenate(parts)
    if np.ptp(values) == 0:
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
