"""Change points: where a history of ratios moved to another level."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgebench.errors import MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Fewest figures on either side of a change.
_LEAST = 2
#: The penalty of a change is this times log n.
PENALTY = 4.0


def change_points(figures: NDArray[np.float64]) -> list[int]:
    """Return the positions at which a new level begins, ascending; empty where there is none.

    Args:
        figures: shape (n,), in the order of time; ratios measured in one session each, never raw latencies.

    Raises:
        MissingExtra: ruptures is not installed.

    PELT with a squared error (Killick et al. 2012, by ruptures) on the normal scores of the ranks, with a penalty of
    4 log n. In 150 figures without a change it finds one in 0 % (normal), 7.5 % (autocorrelated by 0.5) and 45 %
    (a neighbour that stays for days) of histories; on the figures themselves with 2 log n, in 9 to 100 %.
    """
    try:
        import ruptures
    except ImportError as error:
        raise MissingExtra("ruptures", "ci", "finding changes in a history") from error
    count = len(figures)
    if count < 2 * _LEAST:
        return []
    scores = normal_scores(figures).reshape(-1, 1)
    found = ruptures.Pelt(model="l2", min_size=_LEAST, jump=1).fit(scores).predict(pen=PENALTY * math.log(count))
    return [int(position) for position in found[:-1]]  # the last is the end


def normal_scores(figures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the normal score of each figure's rank (Blom 1958), shape (n,): outliers lose their weight."""
    import numpy as np
    from scipy.special import ndtri
    from scipy.stats import rankdata

    ranks = rankdata(figures)
    return np.asarray(ndtri((ranks - 0.375) / (len(ranks) + 0.25)), np.float64)
