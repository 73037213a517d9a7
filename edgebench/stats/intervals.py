"""Intervals for what a Run, the unit of statistics, typically shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def t_interval(values: NDArray[np.float64], *, level: float = 0.95) -> tuple[float, float] | None:
    """Return Student's two-sided interval for the typical value of positive figures, one per run.

    Args:
        values: shape (runs,), > 0: for example one median latency per run, in any unit.

    Returns None for fewer than two runs.

    Taken on the log scale and turned back: what makes processes differ (clock, memory layout, neighbours) scales
    latencies rather than shifts them, the interval can't reach below zero, and the ratio of two measurements is then a
    difference. Its centre is the geometric mean. Latencies within a process are correlated, hence one figure per run.
    """
    import numpy as np
    from scipy import stats

    runs = len(values)
    if runs < 2:
        return None
    logs = np.log(values)
    half = stats.t.ppf((1 + level) / 2, runs - 1) * logs.std(ddof=1) / np.sqrt(runs)
    return float(np.exp(logs.mean() - half)), float(np.exp(logs.mean() + half))
