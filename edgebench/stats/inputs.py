"""Figures in which every input counts, whatever its length: a median for each input, then the mean over the inputs.

The median of all latencies of a run over inputs of mixed length is that of inputs of middle length, and does not see
what happens to the long or the short ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64] | NDArray[np.float64]


def medians_by_input(values: Numbers, items: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the median of each input's values, shape (inputs,), in the order of the inputs' numbers.

    Args:
        values, items: shape (inferences,): a figure of each inference, and which input it had.
    """
    import numpy as np

    distinct, position = np.unique(items, return_inverse=True)
    if len(distinct) == 1:
        return np.array([np.median(values)])
    order = np.lexsort((values, position))
    counts = np.bincount(position, minlength=len(distinct))
    firsts = np.cumsum(counts) - counts
    middle = values[order][firsts + (counts - 1) // 2] + values[order][firsts + counts // 2]
    return np.asarray(middle / 2, np.float64)


def geometric_mean_latency(latencies_ns: NDArray[np.int64], items: NDArray[np.int64]) -> float | None:
    """Return the geometric mean over inputs of each input's median latency, in nanoseconds.

    Args:
        latencies_ns, items: shape (inferences,), not empty: how long each took, and which input it had.

    None where the median of an input is 0, which has no logarithm: the clock is too coarse for it.
    """
    import numpy as np

    medians = medians_by_input(latencies_ns, items)
    return float(np.exp(np.log(medians).mean())) if medians.min() > 0 else None


def mean_log_ratio(
    numerators_ns: NDArray[np.int64], denominators_ns: NDArray[np.int64], items: NDArray[np.int64]
) -> float | None:
    """Return the mean over inputs of the median log ratio of two models' latencies, measured side by side.

    Args:
        numerators_ns, denominators_ns, items: shape (inferences,), not empty: the n-th inferences of both models are of
            one input.

    None where half of the pairs, or all of an input's, have a latency of 0, which has no ratio.
    """
    import numpy as np

    positive = (numerators_ns > 0) & (denominators_ns > 0)
    if 2 * positive.sum() <= len(positive) or len(np.unique(items[positive])) < len(np.unique(items)):
        return None
    ratios = np.log(numerators_ns[positive] / denominators_ns[positive])
    return float(medians_by_input(ratios, items[positive]).mean())
