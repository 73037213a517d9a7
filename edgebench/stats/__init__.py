"""Statistics on plain numbers: percentiles, intervals, ratios, verdicts, drift; numpy and scipy only.

Arrays of figures come in, one for each run or example; intervals and verdicts come out.
"""

from __future__ import annotations

from edgebench.stats.change_points import change_points
from edgebench.stats.drift import LEAST_INFERENCES, LEAST_PASSES, Drift, drift_of
from edgebench.stats.inputs import geometric_mean_latency, mean_log_ratio
from edgebench.stats.intervals import t_interval, typical
from edgebench.stats.paired import PairedEstimate, align, estimate_difference, estimate_f1_difference
from edgebench.stats.percentiles import MINIMUM_COUNTS, early_stopping_estimate, percentile_bound_holds, quantiles
from edgebench.stats.queue_bound import QUERIES, queue_bound_holds
from edgebench.stats.rate_search import LOWERED_BY, RESOLUTION, Probe, RateSearch
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
    judge_groups,
    more_runs,
)

__all__ = [
    "LEAST_INFERENCES",
    "LEAST_PASSES",
    "LEVEL",
    "LOOKS",
    "LOWERED_BY",
    "MARGIN",
    "MINIMUM_COUNTS",
    "PAIRS",
    "QUERIES",
    "RESOLUTION",
    "Drift",
    "HistoryEstimate",
    "Judgement",
    "PairedEstimate",
    "Probe",
    "RateSearch",
    "RatioEstimate",
    "SeedDifference",
    "Verdict",
    "align",
    "bootstrap_interval",
    "change_points",
    "drift_of",
    "early_stopping_estimate",
    "estimate_by_history",
    "estimate_difference",
    "estimate_f1_difference",
    "estimate_paired_ratio",
    "estimate_ratio",
    "geometric_mean_latency",
    "history_problem",
    "holm_alphas",
    "is_beyond",
    "judge_all",
    "judge_groups",
    "mean_log_ratio",
    "more_runs",
    "percentile_bound_holds",
    "pooled_deviation",
    "quantiles",
    "queue_bound_holds",
    "seed_difference",
    "t_interval",
    "typical",
]
