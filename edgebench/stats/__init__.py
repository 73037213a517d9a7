"""Statistics on plain numbers: percentiles, intervals, ratios, verdicts, drift; numpy and scipy only.

Arrays of figures come in, one for each run or example; intervals and verdicts come out.
"""

from __future__ import annotations

from edgebench.stats.drift import Drift, drift_of
from edgebench.stats.intervals import t_interval
from edgebench.stats.paired import Bootstrap, align, estimate_difference, estimate_f1_difference
from edgebench.stats.percentiles import MINIMUM_COUNTS, percentile_bound_holds, quantiles
from edgebench.stats.rate_search import RESOLUTION, Probe, RateSearch
from edgebench.stats.ratio import PAIRS, RatioEstimate, estimate_paired_ratio, estimate_ratio
from edgebench.stats.resampling import bootstrap_interval
from edgebench.stats.seeds import SeedDifference, seed_difference
from edgebench.stats.session_history import HistoryEstimate, estimate_by_history, history_problem, pooled_deviation
from edgebench.stats.verdicts import (
    LEVEL,
    LOOKS,
    MARGIN,
    Judgement,
    Verdict,
    holm_alphas,
    is_beyond,
    judge_all,
    more_runs,
)

__all__ = [
    "LEVEL",
    "LOOKS",
    "MARGIN",
    "MINIMUM_COUNTS",
    "PAIRS",
    "RESOLUTION",
    "Bootstrap",
    "Drift",
    "HistoryEstimate",
    "Judgement",
    "Probe",
    "RateSearch",
    "RatioEstimate",
    "SeedDifference",
    "Verdict",
    "align",
    "bootstrap_interval",
    "drift_of",
    "estimate_by_history",
    "estimate_difference",
    "estimate_f1_difference",
    "estimate_paired_ratio",
    "estimate_ratio",
    "history_problem",
    "holm_alphas",
    "is_beyond",
    "judge_all",
    "more_runs",
    "percentile_bound_holds",
    "pooled_deviation",
    "quantiles",
    "seed_difference",
    "t_interval",
]
