"""When a run counts: a table of rules over what came back from the board, each with its reason.

A rule takes a Run and the RunPlan that it should fulfil; it returns why the run does not count, or None. `judged` first
cuts out short bursts of other processes' work; nothing else is ever cut.
What the board can't tell (no throttle flags, no list of providers) speaks neither for nor against it. A reason has no
figure of this one run in it, so that the same trouble in several runs reads the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgebench.analysis.conditions import FREQUENCY, OTHERS_CPU, THROTTLED, cpu_temperatures, highest
from edgebench.analysis.summary import (
    batches_of_a_turn,
    complete_passes,
    duration_ns,
    has_no_complete_pass,
    inputs_of_a_pass,
)
from edgebench.analysis.throttling import happened_during, throttle_names
from edgebench.analysis.timeline import mean_service_s, service_times, shares_by_minute
from edgebench.measurement import Run, Series
from edgebench.stats.drift import Drift, drift_of
from edgebench.text import printable
from edgebench.workload import RunPlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Rule = Callable[[Run, RunPlan], str | None]

#: Fewer readings than this while timed are too few to judge a run by.
_LEAST_READINGS = 3
_LEAST_CLOCK = 0.9  # of what the governor allows; twice in a row, for a single reading may be torn
#: A governor that follows the load needs some time at full load to raise the clock, and lowers it in pauses.
_BUSY_NS = 200_000_000
_MOST_IDLE_NS = 10_000_000
_PAUSE_NS = 100_000
_MOST_TEMPERATURE_MC = 15_000
#: Simulated (3 % within, heavy tails, 100 inferences): loses 0.4 % of good runs, finds 97 % of drifts by 10 %.
_MOST_DRIFT = 0.05
_SURE = 3.0  # standard errors
_MOST_OTHERS_MILLICORES = 500
_MOST_CUT = 0.2
#: What is timed for less tells neither of others (their load is told in ticks of 10 ms) nor of a drift.
_LEAST_JUDGED_NS = 500_000_000
_MOST_FAULTS = 10
_MOST_SWAPPED_PAGES = 256  # 1 MiB


def _throttled(run: Run, _: RunPlan) -> str | None:
    """From the run's first moment on, loading included; what was so before the run is no reason."""
    series = run.trace.readings.get(THROTTLED)
    if series is None or len(series.values) == 0:
        return None
    seen = [int(value) for value in series.values]
    told = _board(run).get("throttled")  # when the run began, before the first reading
    names = throttle_names(happened_during(seen, before=told if type(told) is int else seen[0]))
    return f"{' and '.join(names)} during the run" if names else None


def _clock_too_low(run: Run, _: RunPlan) -> str | None:
    """The clock of the cores that work, while they do: others may idle, and all may between inferences.

    A board without throttle flags tells of throttling by nothing else.
    """
    allowed = _clocks_of_workers(run)
    shares = highest(
        Series(series.t_ns, 1000 * series.values // allowed[name])
        for name, series in _sensors(run, FREQUENCY)
        if name in allowed
    )
    if shares is None:
        return None
    shares = _while_busy(run, shares)
    low = shares.values < 1000 * _LEAST_CLOCK
    if len(low) < _LEAST_READINGS or not bool((low[1:] & low[:-1]).any()):
        return None
    return f"the clock was below {100 * _LEAST_CLOCK:.0f} % of what the governor allows"


def _clocks_of_workers(run: Run) -> dict[str, int]:
    """Return what the governor allows the cores that may do the work, kHz.

    Of cores of several kinds the kernel gives the fastest to whoever works most; a process that is bound to some cores
    (`taskset`) may work on any kind.
    """
    board = _board(run)
    told = board.get("clock_allowed_khz")
    allowed = {name: clock for name, clock in told.items() if type(clock) is int and clock > 0} if told else {}
    cores, usable = board.get("cores"), board.get("usable_cores")
    if type(cores) is int and type(usable) is int and usable < cores:
        return allowed
    return {name: clock for name, clock in allowed.items() if clock == max(allowed.values())}


def _while_busy(run: Run, series: Series) -> Series:
    """Return the readings before which inferences had followed each other for a while without a pause."""
    import numpy as np

    trace = run.trace
    if not len(trace.starts_ns):
        return Series(series.t_ns[:0], series.values[:0])
    begun, ends = service_times(trace)
    pauses = np.maximum(0, begun[1:] - ends[:-1])
    pauses[pauses < _PAUSE_NS] = 0
    if run.alternates:
        pauses[:] = 0  # the other models keep the board busy
    # Idle time up to a moment: pauses that are over, and the one that goes on in proportion.
    borders = np.concatenate([[begun[0]], np.stack([ends[:-1], begun[1:]], axis=1).ravel(), [ends[-1]]])
    idle = np.concatenate([[0], np.stack([np.cumsum(pauses) - pauses, np.cumsum(pauses)], axis=1).ravel()])
    idle = np.concatenate([idle, idle[-1:]])
    t_ns = series.t_ns
    within = (t_ns >= begun[0] + _BUSY_NS) & (t_ns <= ends[-1])
    paused = np.interp(t_ns, borders, idle) - np.interp(t_ns - _BUSY_NS, borders, idle)
    busy = within & (paused <= _MOST_IDLE_NS)
    return Series(t_ns[busy], series.values[busy])


def _temperature_changed(run: Run, _: RunPlan) -> str | None:
    """From the first readings while timed to the last; one reading alone may be torn."""
    for series in cpu_temperatures(run.trace.readings).values():
        values = _while_timed(run, series).values
        if len(values) < 2 * _LEAST_READINGS:
            continue
        first, last = (sorted(part.tolist())[_LEAST_READINGS // 2] for part in (values[:3], values[-3:]))
        if abs(last - first) > _MOST_TEMPERATURE_MC:
            return f"the temperature changed by more than {_MOST_TEMPERATURE_MC / 1000:.0f} °C"
    return None


def _not_steady(run: Run, _: RunPlan) -> str | None:
    """Of a server's queries the time that the board works on each, for how long they wait is what is measured."""
    counted = complete_passes(run)
    if not len(counted.latencies_ns) or duration_ns(counted) < _LEAST_JUDGED_NS:
        return None
    begun, ended = service_times(counted.trace)
    grew = _how_they_drift(drift_of(ended - begun, counted.trace.items, begun))
    return f"latencies {grew} by more than {100 * _MOST_DRIFT:.0f} % while they were timed" if grew else None


def _how_they_drift(drift: Drift | None) -> str | None:
    if drift is None or abs(drift.share) <= max(_MOST_DRIFT, _SURE * drift.error):
        return None
    return "grew" if drift.share > 0 else "fell"


def _drift_apart(together: Sequence[Run]) -> str | None:
    """Models that alternate are there to be compared: what slows all of them down alike is no reason.

    Each is held against the typical one of the others.
    """
    import numpy as np

    counted = [complete_passes(each) for each in together]
    count = min(len(each.latencies_ns) for each in counted)
    if not count or sum(duration_ns(each) for each in counted) < _LEAST_JUDGED_NS:
        return None
    logs = np.array([np.log(np.maximum(1, each.latencies_ns[:count])) for each in counted])
    beside = logs - (logs.sum(axis=0) - logs) / (len(logs) - 1)
    typical = np.median(logs, axis=1, keepdims=True) - np.median(beside, axis=1, keepdims=True)
    for run, relative in zip(counted, np.exp(beside + typical), strict=True):
        if _how_they_drift(drift_of(relative, run.trace.items[:count], run.trace.starts_ns[:count])):
            return f"the models that alternated drifted apart by more than {100 * _MOST_DRIFT:.0f} %"
    return None


def _others_worked(run: Run, plan: RunPlan) -> str | None:
    """More than what could be cut; of a sustained run, of which nothing is, more than that in some minute."""
    if plan.sustained_min is not None:
        worked = any(share > _MOST_CUT for share in shares_by_minute(run, _disturbed(run)))
    else:
        worked = bool((_disturbed(run) & ~run.is_excluded).any())
    if not worked:
        return None
    return f"other processes used more than {_MOST_OTHERS_MILLICORES / 1000:g} cores"


def _disturbed(run: Run) -> NDArray[np.bool_]:
    """Return which inferences overlap a time in which others worked; shape (inferences,). A reading tells of the time
    since the last one."""
    import numpy as np

    trace = run.trace
    found = np.zeros(len(trace.starts_ns), bool)
    series = trace.readings.get(OTHERS_CPU)
    if series is None or not len(found):
        return found
    if duration_ns(run) < _LEAST_JUDGED_NS:
        return found
    ends = trace.starts_ns + trace.latencies_ns
    since = np.concatenate([[np.iinfo(np.int64).min], series.t_ns[:-1]])
    for at in np.flatnonzero(series.values > _MOST_OTHERS_MILLICORES):
        found[np.searchsorted(ends, since[at], "right") : np.searchsorted(trace.starts_ns, series.t_ns[at])] = True
    return found


def _swapped(run: Run, _: RunPlan) -> str | None:
    pages = _grown_while_timed(run, "swapped_pages")
    if pages is None or pages <= _MOST_SWAPPED_PAGES:
        return None
    return "the board swapped memory while it was timed; free some, or use a smaller model"


def _clocksource_changed(run: Run, _: RunPlan) -> str | None:
    series = run.trace.readings.get("clocksource_changes")
    if series is None or not bool((series.values > 0).any()):
        return None
    return "the kernel changed the clock that everything is timed by (see dmesg)"


def _faulted(run: Run, _: RunPlan) -> str | None:
    faults = _grown_while_timed(run, "major_faults")
    if faults is None or faults <= _MOST_FAULTS:
        return None
    return (
        "memory was read back from the disk while it was timed (major page faults); free some, or use a smaller model"
    )


def _grown_while_timed(run: Run, sensor: str) -> int | None:
    """Return by how much a counter grew from its last reading before what is timed to the first one after it."""
    series = run.trace.readings.get(sensor)
    if series is None or not len(run.trace.starts_ns):
        return None
    began, ended = _timed_interval(run)
    before, after = series.values[series.t_ns <= began], series.values[series.t_ns >= ended]
    return int(after[0]) - int(before[-1]) if len(before) and len(after) else None


def _board(run: Run) -> Mapping[str, Any]:
    board = run.facts.get("board")
    return board if isinstance(board, Mapping) else {}


def _sensors(run: Run, prefix: str) -> list[tuple[str, Series]]:
    """Return the sensors of that kind, each by what follows in its name."""
    found = run.trace.readings.items()
    return [(name.removeprefix(prefix), series) for name, series in found if name.startswith(prefix)]


def _while_timed(run: Run, series: Series) -> Series:
    if not len(run.trace.starts_ns):
        return Series(series.t_ns[:0], series.values[:0])
    began, ended = _timed_interval(run)
    within = (series.t_ns >= began) & (series.t_ns <= ended)
    return Series(series.t_ns[within], series.values[within])


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
            f"fewer than {plan.min_count} inferences in {_longest_s(run, plan):g} s; "
            "raise --max-duration or lower --min-count"
        )
    if len(complete_passes(run).latencies_ns) < plan.min_count:
        return (
            f"fewer than {plan.min_count} inferences in whole turns of the {inputs_of_a_pass(run)} inputs in "
            f"{_longest_s(run, plan):g} s; raise --max-duration or lower --min-count"
        )
    return None


def _longest_s(run: Run, plan: RunPlan) -> float:
    """Return how long a run may take; models that alternate share a time that is as many times as long."""
    told = run.facts.get("alternating")
    return plan.max_duration_s * (told["models"] if isinstance(told, Mapping) else 1)


def _no_whole_turn(run: Run, plan: RunPlan) -> str | None:
    if not has_no_complete_pass(run):
        return None
    return (
        f"not one whole turn of the {inputs_of_a_pass(run)} inputs in at most {_longest_s(run, plan):g} s; "
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
    return float(rate) * mean_service_s(run.trace)


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
    "swapped": _swapped,
    "clocksource_changed": _clocksource_changed,
    "warm_up_not_ended": _warm_up_not_ended,
    "not_steady": _not_steady,
    "too_few_observations": _too_few,
    "no_whole_turn": _no_whole_turn,
    "overloaded": _overloaded,
    "provider_fell_back": _provider_fell_back,
}


#: Before a reason that is another model's, which the run alternated with.
BESIDE = "beside it: "
#: A sustained run is there to show what a board does when it gets hot.
_SHOWN_BY_SUSTAINED = ("throttled", "clock_too_low", "temperature_changed", "warm_up_not_ended", "not_steady")


def reasons_against(run: Run, plan: RunPlan) -> tuple[str, ...]:
    """Return why this run does not count, in the order of the table; empty where it does."""
    left_out: Collection[str] = _SHOWN_BY_SUSTAINED if plan.sustained_min is not None else ()
    if run.alternates:
        left_out = ("not_steady",)  # `validate_group` asks whether they drift apart
    found = (rule(run, plan) for name, rule in RULES.items() if name not in left_out)
    return tuple(reason for reason in found if reason is not None)


def judged(run: Run, plan: RunPlan) -> Run:
    """Return the run with what is to be cut of it, and the reasons why it does not count all the same."""
    return validate_group([run], plan)[0]


def validate_group(runs: Sequence[Run], plan: RunPlan) -> list[Run]:
    """Return the runs of models that alternated, judged: what is cut of one is cut of all, and one that does not count
    takes the others with it, for it is each other that they are compared with."""
    cut = _cut(runs, plan)
    found = [replace(run, excluded_spans=_spans(run, cut)) for run in runs]
    reasons = [reasons_against(run, plan) for run in found]
    if len(found) > 1 and (apart := _drift_apart(found)) is not None:
        reasons = [(*told, apart) for told in reasons]
    shared = tuple(dict.fromkeys(reason for of_run in reasons for reason in of_run))
    return [
        replace(run, reasons=own or tuple(f"{BESIDE}{reason}" for reason in shared))
        for run, own in zip(found, reasons, strict=True)
    ]


def _cut(runs: Sequence[Run], plan: RunPlan) -> NDArray[np.bool_]:
    """Return which inferences to cut, shape (inferences,): whole turns that others disturbed, if they are few and
    enough is left; else none.

    Nothing of a server, whose later queries waited for the disturbed ones, nor of a sustained run, which shows it all.
    """
    import numpy as np

    count = min(len(run.trace.starts_ns) for run in runs)
    nothing = np.zeros(count, bool)
    if any("queries_per_s" in run.facts for run in runs) or plan.sustained_min is not None:
        return nothing
    disturbed = np.any([_disturbed(run)[:count] for run in runs], axis=0)
    batches = batches_of_a_turn(runs[0])
    turn = np.arange(count) // batches
    cut = np.isin(turn, turn[disturbed])
    left = int((~cut).sum()) // batches * batches
    if not cut.any() or cut.mean() > _MOST_CUT or left < max(1, plan.min_count):
        return nothing
    return cut


def _spans(run: Run, cut: NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    """Return from which inference's start to which one's each stretch of cut inferences goes."""
    import numpy as np

    starts = run.trace.starts_ns
    edges = np.flatnonzero(np.diff(cut.astype(np.int8), prepend=0, append=0))
    if not len(edges):
        return ()
    borders = np.append(starts, starts[-1] + 1)[edges]
    return tuple((int(began), int(ended)) for began, ended in borders.reshape(-1, 2))
