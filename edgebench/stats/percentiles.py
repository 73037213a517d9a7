"""Percentiles that enough observations stand behind.

The minimum counts are MLPerf LoadGen's for early stopping ("early stopping estimates": 64 queries for a 90th
percentile, 662 for a 99th): the smallest n for which, at 99 % confidence, the percentile lies below the second largest
observation, that is P[Binomial(n, 1 - q) <= 1] <= 0.01. See MLPerf Inference, "Early Stopping Criterion"
(inference_rules.adoc, appendix) and loadgen/early_stopping.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Quantile -> inferences from which on it is stated. The median is stated whenever there is anything.
MINIMUM_COUNTS = {0.5: 1, 0.9: 64, 0.95: 130, 0.97: 219, 0.99: 662, 0.999: 6636}


def quantiles(values: NDArray[np.int64], wanted: Sequence[float]) -> list[float | None]:
    """Return quantiles of latencies, each None where fewer than its minimum count of observations stand behind it.

    Args:
        values: shape (n,), any order and unit.
        wanted: keys of MINIMUM_COUNTS.

    Interpolated linearly between order statistics (type 7 of Hyndman and Fan 1996, numpy's default).
    """
    import numpy as np

    stated = [quantile for quantile in wanted if len(values) >= MINIMUM_COUNTS[quantile]]
    found = dict(zip(stated, np.quantile(values, stated).tolist(), strict=True)) if stated else {}
    return [found.get(quantile) for quantile in wanted]


def early_stopping_estimate(values: NDArray[np.int64], *, quantile: float) -> tuple[int, int] | None:
    """Return what MLPerf LoadGen states of a percentile: (an upper bound of it, how many of the values lie above).

    Args:
        values: shape (n,), any order and unit.
        quantile: 0.9 for the single-stream scenario, 0.99 for multi-stream.

    With t the largest number for which P[Binomial(n, 1 - quantile) <= t] <= 0.01, the t-th largest value: of
    independent values it lies above the percentile in 99 % of cases. None where even t = 1 is too many: fewer values
    than MINIMUM_COUNTS has. See MLPerf Inference, loadgen/results.cc (PerformanceSummary::EarlyStopping).
    """
    from bisect import bisect_right

    import numpy as np
    from scipy.special import bdtr  # the binomial distribution by itself: scipy.stats takes a second to import

    count = len(values)
    over = bisect_right(range(count), 0.01, key=lambda most: float(bdtr(most, count, 1 - quantile))) - 1
    if over < 1:
        return None
    return int(np.partition(values, count - over)[count - over]), over - 1


def percentile_bound_holds(count: int, over: int, *, quantile: float = 0.99) -> bool:
    """Say whether a percentile lies within a bound that `over` of `count` observations exceed, at 99 % confidence.

    It does where so few would be over by chance in at most 1 % of cases if the percentile were just at the bound:
    P[Binomial(count, 1 - quantile) <= over] <= 0.01. MLPerf LoadGen's early stopping (see above).
    """
    from scipy.stats import binom

    return count > 0 and bool(binom.cdf(over, count, 1 - quantile) <= 0.01)
