"""Intervals for what a Run, the unit of statistics, typically shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def typical(values: NDArray[np.float64]) -> float:
    """Return the geometric mean of positive figures, one per run: the centre of `t_interval`. values: shape (runs,)."""
    import numpy as np

    # Rounding must not take it beyond the figures: the median of equal runs is not above their maximum.
    return float(np.clip(np.exp(np.log(values).mean()), values.min(), values.max()))


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
    from scipy.special import stdtrit  # Student's t by itself: scipy.stats takes a second to import

    runs = len(values)
    if runs < 2:
        return None
    logs = np.log(values)
    half = stdtrit(runs - 1, (1 + level) / 2) * logs.std(ddof=1) / np.sqrt(runs)
    return float(np.exp(logs.mean() - half)), float(np.exp(logs.mean() + half))
