"""The ratios of runs that alternated in one process, from inferences side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgebench.analysis.passes import complete_passes
from edgebench.run import Run
from edgebench.stats import mean_log_ratio


def with_ratios(runs: Sequence[Run]) -> list[Run]:
    """Return the runs of one process with their ratios to each other (see `Run.log_ratios`)."""
    return [replace(run, log_ratios=_ratios(run, runs)) for run in runs]


def _ratios(run: Run, runs: Sequence[Run]) -> dict[str, float]:
    import numpy as np

    found = {}
    mine = complete_passes(run).trace
    for other in runs:
        theirs = complete_passes(other).trace
        if other is run or not len(mine.items) or not np.array_equal(mine.items, theirs.items):
            continue
        ratio = mean_log_ratio(mine.latencies_ns, theirs.latencies_ns, mine.items)
        if ratio is not None:
            found[other.id] = ratio
    return found
