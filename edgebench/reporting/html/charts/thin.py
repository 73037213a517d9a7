"""Fewer points than were measured, without hiding any: quantiles, or the least and the greatest of each bin."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Bin(NamedTuple):
    """Values near one moment: their median, the least and the greatest."""

    at: float
    middle: float
    low: float
    high: float


def binned(times: NDArray[np.float64], values: NDArray[np.float64], most: int) -> list[Bin]:
    """Return at most `most` bins of equally many values, in the order of time; each value by itself where they are few.

    Args:
        times, values: shape (n,), in the order of time.
    """
    import numpy as np

    if not len(values):
        return []
    if len(values) <= most:
        return [Bin(*(round(float(each), 5) for each in (t, v, v, v))) for t, v in zip(times, values, strict=True)]
    borders = np.linspace(0, len(values), most + 1).astype(int)
    result = []
    for begin, end in pairwise(borders.tolist()):
        part = values[begin:end]
        figures = (times[begin:end].mean(), np.median(part), part.min(), part.max())
        result.append(Bin(*(round(float(each), 5) for each in figures)))
    return result


#: Dense where tails are.
SHARES = (*(at / 100 for at in range(100)), 0.995, 0.999, 1.0)


def quantile_points(values: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Return (value, share of values at or below it) at the SHARES; every value where they are few.

    Args:
        values: shape (n,), any order.
    """
    import numpy as np

    ordered = np.sort(values)
    if len(ordered) <= len(SHARES):
        return [(round(float(value), 5), (at + 1) / len(ordered)) for at, value in enumerate(ordered)]
    found = np.quantile(ordered, SHARES, method="inverted_cdf")
    return [(round(float(value), 5), share) for value, share in zip(found, SHARES, strict=True)]
