"""Whether latencies went on changing while they were timed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WINDOWS = 10
_LEAST_OF_A_WINDOW = 5
_LEAST_TURNS = 3


class Drift(NamedTuple):
    """By how much latencies changed from a run's start to its end, as a share of them, and its standard error."""

    share: float
    error: float


def drift_of(
    latencies_ns: NDArray[np.int64] | NDArray[np.float64], items: NDArray[np.int64], begun_ns: NDArray[np.int64]
) -> Drift | None:
    """Return the drift of window medians; None where there are too few inferences.

    Args:
        latencies_ns, items, begun_ns: shape (inferences,), in order: how long each took, which input it had, when it
            began. Each latency is taken relative to the median of its own input.

    The least-squares line through the medians of ten windows of equal count, over their mean times.
    """
    import numpy as np

    distinct, position = np.unique(items, return_inverse=True)
    if len(latencies_ns) < max(_WINDOWS * _LEAST_OF_A_WINDOW, _LEAST_TURNS * len(distinct)):
        return None
    relative = latencies_ns / _medians(latencies_ns, position, len(distinct))[position]
    medians = np.array([np.median(window) for window in np.array_split(relative, _WINDOWS)])
    times = np.array([window.mean() for window in np.array_split(begun_ns - begun_ns[0], _WINDOWS)])
    length = float(begun_ns[-1] - begun_ns[0])
    away = times - times.mean()
    spread = float(away @ away)
    if not length or not spread:
        return None
    slope = float(away @ medians) / spread
    rest = medians - medians.mean() - slope * away
    error = float(rest @ rest / (_WINDOWS - 2) / spread) ** 0.5
    return Drift(slope * length, error * length)


def _medians(
    latencies_ns: NDArray[np.int64] | NDArray[np.float64], position: NDArray[np.int64], distinct: int
) -> NDArray[np.float64]:
    import numpy as np

    if distinct == 1:
        return np.array([max(1.0, float(np.median(latencies_ns)))])
    order = np.lexsort((latencies_ns, position))
    counts = np.bincount(position, minlength=distinct)
    firsts = np.cumsum(counts) - counts
    middle = latencies_ns[order][firsts + (counts - 1) // 2] + latencies_ns[order][firsts + counts // 2]
    return np.asarray(np.maximum(1.0, middle / 2), np.float64)
