"""Exclusion: inferences that other processes disturbed are left out, pass by pass, where they are few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgebench.analysis.conditions import OTHERS_CPU, STEAL
from edgebench.analysis.limits import Limits
from edgebench.analysis.passes import batches_of_a_pass, duration_ns
from edgebench.run import Run
from edgebench.stats import MARGIN
from edgebench.workload import RunPlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Share of a run's inferences. However slow a fifth of them is, the median of all is at most the 62nd percentile of the
#: others: 1 % away at a spread of 3 %.
MOST_EXCLUDED = 0.2
#: A shorter time says nothing about other processes (their load is read four times a second, in ticks of 10 ms), about
#: the clock, nor about a drift. A run of a second may end some milliseconds early.
LEAST_JUDGED_NS = 900_000_000


def with_exclusions(runs: Sequence[Run], plan: RunPlan, margin: float = MARGIN) -> list[Run]:
    """Return the runs of one process with the time spans whose inferences do not count: of all models the same."""
    is_excluded = _excluded(runs, plan, margin)
    return [replace(run, excluded_spans=_spans(run, is_excluded)) for run in runs]


def is_disturbed(run: Run, most_millicores: float) -> NDArray[np.bool_]:
    """Return which inferences overlap a burst of other processes, or of other machines (steal); shape (inferences,).

    A burst is a reading of more than `most_millicores`; it is about the time since the reading before.
    """
    import numpy as np

    trace = run.trace
    found = np.zeros(len(trace.starts_ns), bool)
    if not len(found) or duration_ns(run) < LEAST_JUDGED_NS:
        return found
    ends = trace.starts_ns + trace.latencies_ns
    for series in (trace.readings[name] for name in (OTHERS_CPU, STEAL) if name in trace.readings):
        since = np.concatenate([[np.iinfo(np.int64).min], series.t_ns[:-1]])
        for at in np.flatnonzero(series.values > most_millicores):
            found[np.searchsorted(ends, since[at], "right") : np.searchsorted(trace.starts_ns, series.t_ns[at])] = True
    return found


def _excluded(runs: Sequence[Run], plan: RunPlan, margin: float) -> NDArray[np.bool_]:
    """Return which inferences to exclude, shape (inferences,).

    These are the complete passes that others disturbed, if they are few; else none. What is left may be fewer than
    `min_count`: a run of a slow model ends with its `min_count`-th inference. Nothing is excluded from a server, whose
    later queries waited for the disturbed ones, nor from a sustained run, which is to show everything.
    """
    import numpy as np

    count = min(len(run.trace.starts_ns) for run in runs)
    nothing = np.zeros(count, bool)
    if any(run.facts.queries_per_s is not None for run in runs) or plan.sustained_min is not None:
        return nothing
    disturbed = np.any([is_disturbed(run, Limits.of(run, margin).burst_millicores)[:count] for run in runs], axis=0)
    batches = batches_of_a_pass(runs[0])
    pass_of = np.arange(count) // batches
    excluded = np.isin(pass_of, pass_of[disturbed])
    left = int((~excluded).sum()) // batches * batches
    if not excluded.any() or excluded.mean() > MOST_EXCLUDED or left == 0:
        return nothing
    return excluded


def _spans(run: Run, is_excluded: NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    """Return each stretch of excluded inferences, from the start of its first to the start of the next one kept."""
    import numpy as np

    starts = run.trace.starts_ns
    edges = np.flatnonzero(np.diff(is_excluded.astype(np.int8), prepend=0, append=0))
    if not len(edges):
        return ()
    borders = np.append(starts, starts[-1] + 1)[edges]
    return tuple((int(began), int(ended)) for began, ended in borders.reshape(-1, 2))
