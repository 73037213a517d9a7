"""Rules about the run itself: whether it is complete, steady and long enough, and ran where it should.

Each takes a Run, its RunPlan and the Limits that follow from the margin, and returns why the run does not count, or
None.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from edgebench.analysis.exclusion import LEAST_JUDGED_NS
from edgebench.analysis.limits import Limits, percent
from edgebench.analysis.passes import (
    batches_of_a_pass,
    complete_passes,
    duration_ns,
    has_no_complete_pass,
    inputs_of_a_pass,
)
from edgebench.analysis.timeline import mean_service_s, service_times
from edgebench.run import Run
from edgebench.stats import LEAST_INFERENCES, LEAST_PASSES, Drift, drift_of
from edgebench.text import printable
from edgebench.workload import RunPlan

#: Of a drift, that there is none. Simulated in docs/evidence/validity.md.
_MOST_DOUBT = 0.003


def incomplete(run: Run, _: RunPlan, _limits: Limits) -> str | None:
    reported = {
        "how long loading took": run.load_ns,
        "its first inference": run.first_ns,
        "the end of warm-up": run.facts.warmup_steady,
    }
    missing = [what for what, value in reported.items() if value is None]
    return f"the board did not report {' and '.join(missing)}" if missing else None


def warm_up_not_ended(run: Run, _: RunPlan, _limits: Limits) -> str | None:
    return "warm-up was not seen to end" if run.facts.warmup_steady is False else None


def not_steady(run: Run, _: RunPlan, limits: Limits) -> str | None:
    """Of a server's queries, by the time that the board works on each: how long they wait is what is measured."""
    counted = complete_passes(run)
    if not len(counted.latencies_ns) or duration_ns(counted) < LEAST_JUDGED_NS:
        return None
    begun, ended = service_times(counted.trace)
    grew = _how_they_drift(drift_of(ended - begun, counted.trace.items), limits)
    return f"latencies {grew} by more than {percent(limits.drift)} while they were timed" if grew else None


def _how_they_drift(drift: Drift | None, limits: Limits) -> str | None:
    if drift is None or abs(drift.share) <= limits.drift or drift.doubt > _MOST_DOUBT:
        return None
    return "grew" if drift.share > 0 else "fell"


def is_long_enough(together: Sequence[Run]) -> bool:
    """Whether the rules about other processes, the clock and drift had enough to judge the runs of one process by."""
    counted = [complete_passes(run) for run in together]
    if not all(len(run.latencies_ns) for run in counted):
        return False
    timed_ns = sum(duration_ns(run) for run in counted)
    return timed_ns >= LEAST_JUDGED_NS and all(
        len(run.latencies_ns) >= max(LEAST_INFERENCES, LEAST_PASSES * batches_of_a_pass(run)) for run in counted
    )


def drifted_apart(together: Sequence[Run], limits: Limits) -> str | None:
    """Return why models that alternated can't be compared: the ratio of one to the others drifted.

    What slows all of them down alike is no reason.
    """
    import numpy as np

    counted = [complete_passes(each) for each in together]
    count = min(len(each.latencies_ns) for each in counted)
    if not count or sum(duration_ns(each) for each in counted) < LEAST_JUDGED_NS:
        return None
    logs = np.array([np.log(np.maximum(1, each.latencies_ns[:count])) for each in counted])
    relative_logs = logs - (logs.sum(axis=0) - logs) / (len(logs) - 1)
    typical = np.median(logs, axis=1, keepdims=True) - np.median(relative_logs, axis=1, keepdims=True)
    for run, relative in zip(counted, np.exp(relative_logs + typical), strict=True):
        if _how_they_drift(drift_of(relative, run.trace.items[:count]), limits):
            return f"the models that alternated drifted apart by more than {percent(limits.drift)}"
    return None


def too_few_observations(run: Run, plan: RunPlan, _limits: Limits) -> str | None:
    if len(run.latencies_ns) < plan.min_count:
        return (
            f"fewer than {plan.min_count} inferences in {_longest_s(run, plan):g} s; "
            "allow a longer run, or fewer inferences"
        )
    if len(complete_passes(replace(run, excluded_spans=())).latencies_ns) < plan.min_count:
        return (
            f"fewer than {plan.min_count} inferences in complete passes over the {inputs_of_a_pass(run)} inputs in "
            f"{_longest_s(run, plan):g} s; allow a longer run, or fewer inferences"
        )
    return None


def _longest_s(run: Run, plan: RunPlan) -> float:
    """Return how long a run may take, in seconds; N models that alternate share N times as much."""
    alternating = run.facts.alternating
    return plan.max_duration_s * (alternating.models if alternating is not None else 1)


def no_complete_pass(run: Run, plan: RunPlan, _limits: Limits) -> str | None:
    if not has_no_complete_pass(run):
        return None
    return (
        f"not one complete pass over the {inputs_of_a_pass(run)} inputs in at most {_longest_s(run, plan):g} s; "
        "allow a longer run"
    )


def provider_fell_back(run: Run, _: RunPlan, _limits: Limits) -> str | None:
    if not run.facts.providers_asked:
        return None
    wanted, got = run.facts.providers_asked[0], run.facts.providers or ()
    if wanted not in got:
        return f"{wanted} was requested, but {_listed(got) or 'nothing'} ran"
    nodes = run.facts.nodes or {}
    if nodes and not nodes.get(wanted):
        return f"{wanted} runs none of the graph's nodes; they fell back to {_listed(nodes)}"
    return None


def utilisation(run: Run) -> float | None:
    """Return which part of its time a server needs: the rate of its queries times how long one is served on average.

    From 1 on the queue grows for as long as the run lasts, so its latencies are those of the run's length (a queue is
    stable below 1 only: Loynes 1962). None for any other scenario. The rate is the requested one, not that of the
    arrivals: else runs with many of them by chance would be left out, and the others look better than they are.
    """
    rate = run.facts.queries_per_s
    if rate is None or not len(run.trace.starts_ns):
        return None
    return rate * mean_service_s(run.trace)


def overloaded(run: Run, _: RunPlan, _limits: Limits) -> str | None:
    used = utilisation(run)
    if used is None or used < 1:
        return None
    return "queries arrived faster than they can be served, so the queue kept growing; lower the rate"


def _listed(names: Iterable[str]) -> str:
    return printable(", ".join(names))
