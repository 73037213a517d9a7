"""When a run counts: a table of rules over what came back from the board, each with its reason.

A rule takes a Run and the RunPlan that it should fulfil; it returns why the run does not count, or None.
What the board can't tell (no throttle flags, no list of providers) speaks neither for nor against it. A reason has no
figure of this one run in it, so that the same trouble in several runs reads the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from statistics import median
from typing import Any

from edgebench.measurement import Run, Series
from edgebench.printable import printable
from edgebench.summary import has_no_whole_turn, inputs_of_a_turn, whole_turns
from edgebench.throttling import happened_during, throttle_names
from edgebench.timeline import services
from edgebench.workload import RunPlan

Rule = Callable[[Run, RunPlan], str | None]

#: Fewer readings than this while timed are too few to judge a run by.
_LEAST_READINGS = 3
_LEAST_CLOCK = 0.9  # of what the governor allows; twice in a row, for a single reading may be torn
_MOST_TEMPERATURE_MC = 15_000
_MOST_OTHERS_MILLICORES = 500
_MOST_FAULTS = 10


def _throttled(run: Run, _: RunPlan) -> str | None:
    series = run.trace.readings.get("throttled")
    if series is None or len(series.values) == 0:
        return None
    seen = [int(value) for value in series.values]
    names = throttle_names(happened_during(seen, before=seen[0]))
    return f"{' and '.join(names)} during the run" if names else None


def _clock_too_low(run: Run, _: RunPlan) -> str | None:
    """The fastest clock, for others may idle; a board without throttle flags tells of throttling by nothing else."""
    board = run.facts.get("board")
    allowed = board.get("clock_max_khz") if isinstance(board, Mapping) else None
    clocks = [series.values for _, series in _while_timed(run, "frequency_khz/")]
    readings = min((len(values) for values in clocks), default=0)
    if type(allowed) is not int or readings < _LEAST_READINGS:
        return None
    low = [max(int(values[at]) for values in clocks) < _LEAST_CLOCK * allowed for at in range(readings)]
    if not any(one and other for one, other in pairwise(low)):
        return None
    return f"the clock was below {100 * _LEAST_CLOCK:.0f} % of what the governor allows"


def _temperature_changed(run: Run, _: RunPlan) -> str | None:
    for _name, series in _while_timed(run, "temperature_mc/"):
        if len(series.values) and int(series.values.max()) - int(series.values.min()) > _MOST_TEMPERATURE_MC:
            return f"the temperature changed by more than {_MOST_TEMPERATURE_MC / 1000:.0f} °C"
    return None


def _others_worked(run: Run, _: RunPlan) -> str | None:
    for _name, series in _while_timed(run, "others_cpu_millicores"):
        if len(series.values) >= _LEAST_READINGS and median(series.values.tolist()) > _MOST_OTHERS_MILLICORES:
            return f"other processes used more than {_MOST_OTHERS_MILLICORES / 1000:g} cores"
    return None


def _faulted(run: Run, _: RunPlan) -> str | None:
    """Major faults are counted at the borders of phases: the last count before what is timed, and the first after."""
    series = run.trace.readings.get("major_faults")
    if series is None or not len(run.trace.starts_ns):
        return None
    began, ended = _timed_interval(run)
    before = [int(value) for at, value in zip(series.t_ns, series.values, strict=True) if at <= began]
    after = [int(value) for at, value in zip(series.t_ns, series.values, strict=True) if at >= ended]
    if not before or not after or after[0] - before[-1] <= _MOST_FAULTS:
        return None
    return (
        "memory was read back from the disk while it was timed (major page faults); free some, or use a smaller model"
    )


def _while_timed(run: Run, prefix: str) -> Iterator[tuple[str, Series]]:
    """Yield the sensors of that name with what they read while inferences were timed."""
    if not len(run.trace.starts_ns):
        return
    began, ended = _timed_interval(run)
    for name, series in run.trace.readings.items():
        if name.startswith(prefix):
            within = (series.t_ns >= began) & (series.t_ns <= ended)
            yield name, Series(series.t_ns[within], series.values[within])


def _timed_interval(run: Run) -> tuple[int, int]:
    trace = run.trace
    return int(trace.starts_ns[0]), int(trace.starts_ns[-1]) + int(trace.latencies_ns[-1])


def _incomplete(run: Run, _: RunPlan) -> str | None:
    told = {
        "how long loading took": run.load_ns is not None,
        "its first inference": run.first_ns is not None,
        "the end of warm-up": "warmup_steady" in run.facts,
    }
    missing = [what for what, is_told in told.items() if not is_told]
    return f"the board did not tell {' and '.join(missing)}" if missing else None


def _warm_up_not_ended(run: Run, _: RunPlan) -> str | None:
    if run.facts.get("warmup_steady", True):
        return None
    return "warm-up was not seen to end"


def _too_few(run: Run, plan: RunPlan) -> str | None:
    if len(run.latencies_ns) < plan.min_count:
        return (
            f"fewer than {plan.min_count} inferences in {plan.max_duration_s:g} s; "
            "raise --max-duration or lower --min-count"
        )
    if len(whole_turns(run).latencies_ns) < plan.min_count:
        return (
            f"fewer than {plan.min_count} inferences in whole turns of the {inputs_of_a_turn(run)} inputs in "
            f"{plan.max_duration_s:g} s; raise --max-duration or lower --min-count"
        )
    return None


def _no_whole_turn(run: Run, plan: RunPlan) -> str | None:
    if not has_no_whole_turn(run):
        return None
    return (
        f"not one whole turn of the {inputs_of_a_turn(run)} inputs in at most {plan.max_duration_s:g} s; "
        "raise --max-duration"
    )


def _provider_fell_back(run: Run, _: RunPlan) -> str | None:
    asked = run.facts.get("providers_asked") or []
    if not asked:
        return None
    wanted, got = asked[0], run.facts.get("providers", [])
    if wanted not in got:
        return f"{wanted} was asked for, but {_listed(got) or 'nothing'} ran"
    nodes = run.facts.get("nodes") or {}
    if nodes and not nodes.get(wanted):
        return f"{wanted} runs none of the graph's nodes; they fell back to {_listed(nodes)}"
    return None


OVERLOADED = "queries arrived faster than they can be served, so that ever more of them waited; lower the rate (--qps)"


def utilisation(run: Run) -> float | None:
    """Return which part of its time a server needs: the rate of its queries times how long one is served on average.

    From 1 on the queue grows for as long as the run lasts, so its latencies are those of the run's length (a queue is
    stable below 1 only: Loynes 1962). None for any other scenario. Of the rate that was asked for, not of the arrivals
    that came: else runs with many of them by chance would be left out, and the others look better than they are.
    """
    rate = run.facts.get("queries_per_s")
    if not isinstance(rate, int | float) or not len(run.trace.starts_ns):
        return None
    begun_ns, ended_ns = services(run.trace)
    return float(rate) * float((ended_ns - begun_ns).mean()) / 1e9


def _overloaded(run: Run, _: RunPlan) -> str | None:
    used = utilisation(run)
    if used is None or used < 1:
        return None
    return OVERLOADED


def _listed(names: Iterable[Any]) -> str:
    return printable(", ".join(str(name) for name in names))


#: name -> rule. One row is one way for a run not to count.
RULES: dict[str, Rule] = {
    "incomplete": _incomplete,
    "throttled": _throttled,
    "clock_too_low": _clock_too_low,
    "temperature_changed": _temperature_changed,
    "others_worked": _others_worked,
    "faulted": _faulted,
    "warm_up_not_ended": _warm_up_not_ended,
    "too_few_observations": _too_few,
    "no_whole_turn": _no_whole_turn,
    "overloaded": _overloaded,
    "provider_fell_back": _provider_fell_back,
}


#: A sustained run is there to show what a board does when it gets hot.
_SHOWN_BY_SUSTAINED = ("throttled", "clock_too_low", "temperature_changed", "warm_up_not_ended")


def reasons_against(run: Run, plan: RunPlan) -> tuple[str, ...]:
    """Return why this run does not count, in the order of the table; empty where it does."""
    left_out = _SHOWN_BY_SUSTAINED if plan.sustained_min is not None else ()
    found = (rule(run, plan) for name, rule in RULES.items() if name not in left_out)
    return tuple(reason for reason in found if reason is not None)
