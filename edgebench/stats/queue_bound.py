"""Whether 99 % of a server's queries are answered within a bound, from queries that wait in a queue.

Latencies in a queue are correlated: one long wait is followed by others, so 1,000 queries say as much as perhaps 150
independent ones, and MLPerf LoadGen's count, which takes them as independent, passes far too often. Runs differ as
well. So a rate is confirmed only if two tests agree, each at 99 % confidence:

1. The number of queries over the bound is small enough for the *effective* number of queries: their number divided by
   the variance inflation of batch means (Law 2015, chapter 9), at least 20 batches.
2. The share over the bound, estimated from each run's p99, is small enough on the mean over runs (Cox's interval of a
   lognormal mean; Zhou and Gao 1997).

`python -m benchmarks.metrology` simulates queues whose p99 is exactly at the bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUERIES = 10_000  # of all runs together: with fewer, a rate must lie far below the bound to be confirmed
CONFIDENCE = 0.99
_QUANTILE = 0.99
_BATCHES = 24  # at least 20, in whole batches of each of six runs
#: The queries whose clustering is measured: the slowest 5 %. Queries over the bound are too few to show their own.
_SLOW = 0.95
_LEAST_SHARE = 1e-4  # over the bound, that a run's p99 may stand for; below, it says nothing of how far below


def queue_bound_holds(runs: Sequence[NDArray[np.int64]], bound_ns: float) -> bool:
    """Say whether p99 of all queries at a rate lies within a bound, at 99 % confidence, although queries wait.

    Args:
        runs: each run's latencies in the order of arrival, nanoseconds. Runs of unequal length are cut to the shortest.
        bound_ns: the bound.

    Returns:
        False also where there are fewer than two runs, or fewer queries than batches need.
    """
    import numpy as np

    shortest = min((len(run) for run in runs), default=0)
    batches = -(-_BATCHES // max(1, len(runs)))  # of a run
    if len(runs) < 2 or shortest < 2 * batches:
        return False
    latencies = np.stack([run[:shortest] for run in runs])
    return _few_over(latencies, bound_ns, batches) and _typically_few_over(latencies, bound_ns)


def _few_over(latencies: NDArray[np.int64], bound_ns: float, batches: int) -> bool:
    """Test the number of queries over the bound, among as many queries as they are worth."""
    import numpy as np
    from scipy.special import bdtr

    inflation = variance_inflation(latencies > np.quantile(latencies, _SLOW), batches)
    effective, over = latencies.size / inflation, float((latencies > bound_ns).sum()) / inflation
    return bool(bdtr(np.ceil(over - 1e-9), int(effective), 1 - _QUANTILE) <= 1 - CONFIDENCE)


def variance_inflation(marked: NDArray[np.bool_], batches: int) -> float:
    """Return how many times as large the variance of a share is as that of independent queries; at least 1.

    Args:
        marked: shape (runs, queries), in order.
        batches: into which each run is divided; queries that are left over at its end don't count.
    """
    length = marked.shape[1] // batches
    counts = marked[:, : batches * length].reshape(-1, length).sum(axis=1)
    share = float(counts.mean()) / length
    independent = length * share * (1 - share)
    return max(1.0, float(counts.var(ddof=1)) / independent) if independent > 0 else 1.0


def _typically_few_over(latencies: NDArray[np.int64], bound_ns: float) -> bool:
    """Test the mean share over the bound over runs, of which each has its own.

    The tail of a wait is exponential: a run whose p99 is p has a share of 0.01 ** (bound / p) over the bound.
    """
    import numpy as np
    from scipy.special import stdtrit

    count = len(latencies)
    p99 = np.maximum(np.quantile(latencies, _QUANTILE, axis=1), 1.0)
    log_shares = np.maximum(np.log(1 - _QUANTILE) * bound_ns / p99, np.log(_LEAST_SHARE))
    square = float(log_shares.var(ddof=1))
    error = np.sqrt(square / count + square**2 / (2 * (count - 1)))
    upper = float(log_shares.mean()) + square / 2 + float(stdtrit(count - 1, CONFIDENCE)) * error
    return bool(upper <= np.log(1 - _QUANTILE))
