"""The ratio of two measurements' typical figures, from one figure a run, with the drift of the board in the model.

Two artifacts are measured interleaved, while the board warms up: log(figure) ~ artifact + time + time^2, by least
squares over the runs of both, with a standard error that holds where one side spreads more than the other. Welch's
interval on the same data takes a 5 % drift for noise and covers 99.5 to 100 %. Where the two were not interleaved, time
can't be separated from the artifact, and Welch's interval (Welch 1947) is left; whatever changed between the two is
then in the ratio. Where they alternated within each run, runs are pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgebench.errors import TooFewRuns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Figures = NDArray[np.float64]

#: Degrees of freedom that must be left before a term of the drift is put into the model: each costs one, and t's
#: quantiles grow fast below four.
_LEAST_DF = 4
#: The part of a run's own residual that the model must leave it, of 1, for HC2.
_LEAST_FREEDOM = 1e-6
#: By the number of its terms.
_DRIFTS = ("none", "time", "time + time^2")
#: What is said of the drift where both sides of each pair were measured at once: it is in both.
PAIRS = "pairs"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioEstimate:
    """An estimate of log(candidate / baseline): its standard error, degrees of freedom, and the drift in its model.

    `spread` is the standard deviation of the runs of one artifact, on the log scale, drift apart; of pairs, what is
    left of it in their ratio.
    """

    log_ratio: float
    standard_error: float
    df: float
    spread: float
    runs: tuple[int, int]
    drift: str

    @property
    def effect(self) -> float:
        """What a verdict is about: the log ratio."""
        return self.log_ratio

    @property
    def ratio(self) -> float:
        """Candidate / baseline."""
        import math

        return math.exp(self.log_ratio)

    def interval(self, level: float) -> tuple[float, float]:
        """Return the two-sided interval of the ratio."""
        import math

        half = self.half_width(level)
        return math.exp(self.log_ratio - half), math.exp(self.log_ratio + half)

    def half_width(self, level: float) -> float:
        """Return half of the two-sided interval's width, on the log scale."""
        from scipy.special import stdtrit

        return float(stdtrit(self.df, (1 + level) / 2)) * self.standard_error

    def p_different(self) -> float:
        """Return the p-value against a ratio of exactly 1, two-sided."""
        return 2 * self._tail(abs(self.log_ratio))

    def p_equivalent(self, margin: float) -> float:
        """Return the p-value against a ratio outside 1 ± margin: two one-sided tests (Schuirmann 1987)."""
        import math

        return max(self._tail(math.log1p(margin) - self.log_ratio), self._tail(self.log_ratio - math.log1p(-margin)))

    def _tail(self, distance: float) -> float:
        from scipy.special import stdtr  # by itself: scipy.stats takes a second to import

        if self.standard_error == 0:
            return 0.0 if distance > 0 else (0.5 if distance == 0 else 1.0)
        return float(stdtr(self.df, -distance / self.standard_error))


def estimate_ratio(
    baseline: Figures,
    candidate: Figures,
    *,
    baseline_times: Figures | None = None,
    candidate_times: Figures | None = None,
) -> RatioEstimate:
    """Return an estimate of candidate / baseline from one figure a run.

    Args:
        baseline, candidate: shape (runs,), > 0, in one unit: one median latency per run, say, because the latencies
            within a process are correlated.
        baseline_times, candidate_times: when each run was, in any unit and from any origin; None: not interleaved.

    Raises:
        TooFewRuns: either side has fewer than two runs.
    """
    import numpy as np

    runs = (len(baseline), len(candidate))
    if min(runs) < 2:
        raise TooFewRuns(f"a ratio needs two runs of each side, got {runs[0]} and {runs[1]}")
    logs = (np.log(np.asarray(baseline, np.float64)), np.log(np.asarray(candidate, np.float64)))
    if baseline_times is None or candidate_times is None:
        return _welch(*logs)
    times = np.concatenate([baseline_times, candidate_times]).astype(np.float64)
    terms = min(2, sum(runs) - 2 - _LEAST_DF)
    if terms < 1 or np.ptp(times) == 0 or not _overlap(baseline_times, candidate_times):
        return _welch(*logs)
    return _with_drift(*logs, times, terms)


def estimate_paired_ratio(log_ratios: Figures) -> RatioEstimate:
    """Return an estimate of candidate / baseline from the log ratio of each pair of runs, measured side by side.

    Args:
        log_ratios: shape (pairs,).

    Raises:
        TooFewRuns: fewer than two pairs.

    The mean, with Student's interval: what the machine did meanwhile is in both sides of a pair, so there is no drift
    to separate from the artifact.
    """
    import numpy as np

    count = len(log_ratios)
    if count < 2:
        raise TooFewRuns(f"a ratio needs two pairs of runs, got {count}")
    logs = np.asarray(log_ratios, np.float64)
    deviation = float(logs.std(ddof=1))
    return RatioEstimate(
        log_ratio=float(logs.mean()),
        standard_error=deviation / float(np.sqrt(count)),
        df=count - 1,
        spread=deviation / float(np.sqrt(2)),
        runs=(count, count),
        drift=PAIRS,
    )


def _with_drift(baseline: Figures, candidate: Figures, times: Figures, terms: int) -> RatioEstimate:
    import numpy as np

    logs = np.concatenate([baseline, candidate])
    is_candidate = np.repeat([0.0, 1.0], [len(baseline), len(candidate)])
    scaled = 2 * (times - times.min()) / np.ptp(times) - 1
    design = np.column_stack([np.ones_like(scaled), is_candidate, *(scaled**power for power in range(1, terms + 1))])
    inverse = np.linalg.pinv(design.T @ design, hermitian=True)
    coefficients = inverse @ (design.T @ logs)
    df = len(logs) - design.shape[1]
    residuals = logs - design @ coefficients
    error, degrees = _robust_error(design, inverse, residuals, is_candidate.astype(bool))
    return RatioEstimate(
        log_ratio=float(coefficients[1]),
        standard_error=error,
        df=degrees,
        spread=float(np.sqrt(np.sum(residuals**2) / df)),
        runs=(len(baseline), len(candidate)),
        drift=_DRIFTS[terms],
    )


def _robust_error(
    design: Figures, inverse: Figures, residuals: Figures, is_candidate: NDArray[np.bool_]
) -> tuple[float, float]:
    """Return the standard error of the second coefficient and its degrees of freedom, whatever each side's spread is.

    HC2 (MacKinnon and White 1985): unbiased where the spreads are equal, and right on average where they are not. Its
    degrees of freedom are Bell and McCaffrey's (2002), Satterthwaite's for this error under reference variances. The
    reference is that variances go as 1 / runs^2: equal for as many runs, and else larger on the side that has fewer,
    because noisy models are those whose runs are lost. Equal ones as the reference cover 92 % of 95 where the side
    with half as many runs spreads three times as far.
    """
    import numpy as np

    weights = (design @ inverse)[:, 1]
    annihilator = np.eye(len(design)) - design @ inverse @ design.T
    freedom = np.diag(annihilator)
    if freedom.min() < _LEAST_FREEDOM:  # a run that the model meets whatever it shows has no residual to judge by
        rest = len(design) - design.shape[1]
        return float(np.sqrt(residuals @ residuals / rest * inverse[1, 1])), float(rest)
    scales = weights**2 / freedom
    counts = np.where(is_candidate, is_candidate.sum(), (~is_candidate).sum())
    reference = (counts.max() / counts) ** 2.0
    form = annihilator @ (scales[:, None] * annihilator)
    mean = float(np.diag(form) @ reference)
    return float(np.sqrt(scales @ residuals**2)), mean**2 / float(reference @ form**2 @ reference)


def _welch(baseline: Figures, candidate: Figures) -> RatioEstimate:
    import numpy as np

    sides = (baseline, candidate)
    parts = [float(side.var(ddof=1)) / len(side) for side in sides]
    df = (
        sum(parts) ** 2 / sum(part**2 / (len(side) - 1) for part, side in zip(parts, sides, strict=True))
        if sum(parts)
        else sum(map(len, sides)) - 2
    )
    pooled = sum(float(side.var(ddof=1)) * (len(side) - 1) for side in sides) / (sum(map(len, sides)) - 2)
    return RatioEstimate(
        log_ratio=float(candidate.mean() - baseline.mean()),
        standard_error=float(np.sqrt(sum(parts))),
        df=float(df),
        spread=float(np.sqrt(pooled)),
        runs=(len(baseline), len(candidate)),
        drift=_DRIFTS[0],
    )


def _overlap(one: Figures, other: Figures) -> bool:
    """Whether neither side was completely measured before the other."""
    return bool(max(one) > min(other) and max(other) > min(one))
