"""Whether latencies went on changing while they were timed, beyond what their noise explains."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from edgebench.stats.inputs import medians_by_input

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WINDOWS = 10
LEAST_PASSES = 3  # over the inputs: each latency is taken relative to the median of its own input
LEAST_INFERENCES = 20

#: What the noise of window medians may be: a share `_SLOW` of its variance is an Ornstein-Uhlenbeck process with one of
#: the time constants (of the length of a run), the rest is independent. Simulated over this grid's prior (see
#: docs/evidence/validity.md); more weight on independent noise finds more drifts and loses more good runs.
_TIME_CONSTANTS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_SLOW = (0.3, 0.6, 0.8, 0.9, 0.97, 0.995)
_INDEPENDENT_PRIOR = 0.4


class Drift(NamedTuple):
    """By how much latencies changed from a run's start to its end, as a share of them.

    `doubt`: the posterior probability that there is no change, or one of the other sign.
    """

    share: float
    doubt: float


def drift_of(latencies_ns: NDArray[np.int64] | NDArray[np.float64], items: NDArray[np.int64]) -> Drift | None:
    """Return the drift of window medians; None where there are too few inferences or passes.

    Args:
        latencies_ns, items: shape (inferences,), in order: how long each took, and which input it had.

    A line through the medians of ten windows of equal count, by generalised least squares. How strongly the noise is
    autocorrelated can hardly be estimated from so few windows, and an estimate that is too low makes a good run look as
    if it drifted. So the line is fitted under every kind of noise of a grid, and the answers are weighted by how
    probable each kind is: the restricted likelihood (Harville 1974) times a prior. Least squares with the error of
    independent residuals called 18 % of runs with an autocorrelated noise of 3 % drifting.
    """
    import numpy as np
    from scipy.special import stdtr

    distinct, position = np.unique(items, return_inverse=True)
    if len(latencies_ns) < max(LEAST_INFERENCES, LEAST_PASSES * len(distinct)):
        return None
    relative = latencies_ns / np.maximum(1.0, medians_by_input(latencies_ns, items))[position]
    medians = np.array([np.median(window) for window in np.array_split(relative, _WINDOWS)])
    if np.ptp(medians) < 1e-9:
        return Drift(0.0, 1.0)
    noise = _kinds_of_noise()
    slopes = noise.slope @ medians
    squares = np.einsum("kij,i,j->k", noise.residual, medians, medians)
    freedom = _WINDOWS - 2
    squares = np.maximum(squares, 1e-12 * float(medians @ medians))  # a line without any noise
    logs = noise.log_weight - freedom / 2 * np.log(squares)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    share = float(weights @ slopes)
    errors = np.sqrt(squares / freedom * noise.variance)
    return Drift(share, float(weights @ stdtr(freedom, -np.sign(share) * slopes / errors)))


class _Noise(NamedTuple):
    """For each kind of noise: slope = `slope` @ y, its variance (times that of the noise), the residual sum of squares
    y @ `residual` @ y, and what its log restricted likelihood and prior have apart from that. First axis: kinds."""

    slope: NDArray[np.float64]
    variance: NDArray[np.float64]
    residual: NDArray[np.float64]
    log_weight: NDArray[np.float64]


@cache
def _kinds_of_noise() -> _Noise:
    import numpy as np

    times = (np.arange(_WINDOWS) + 0.5) / _WINDOWS
    line = np.stack([np.ones(_WINDOWS), times - 0.5], axis=1)
    apart = np.abs(times[:, None] - times)
    kinds = [(0.0, 1.0), *((slow, constant) for constant in _TIME_CONSTANTS for slow in _SLOW)]
    slopes, variances, residuals, logs = [], [], [], []
    for slow, constant in kinds:
        covariance = slow * np.exp(-apart / constant) + (1 - slow) * np.eye(_WINDOWS)
        inverse = np.linalg.inv(covariance)
        of_line = np.linalg.inv(line.T @ inverse @ line)
        fitted = of_line @ line.T @ inverse
        slopes.append(fitted[1])
        variances.append(of_line[1, 1])
        residuals.append(inverse - inverse @ line @ fitted)
        prior = (1 - _INDEPENDENT_PRIOR) / (len(kinds) - 1) if slow else _INDEPENDENT_PRIOR
        logs.append((np.linalg.slogdet(of_line)[1] - np.linalg.slogdet(covariance)[1]) / 2 + np.log(prior))
    return _Noise(*(np.array(column) for column in (slopes, variances, residuals, logs)))
