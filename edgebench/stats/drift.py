"""Whether latencies went on changing while they were timed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edgebench.stats.inputs import medians_by_input

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
    relative = latencies_ns / np.maximum(1.0, medians_by_input(latencies_ns, items))[position]
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
