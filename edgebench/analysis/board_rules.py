"""Rules about the board: what it went through while a run was timed that makes the run count for nothing.

Each takes a Run, its RunPlan and the Limits that follow from the margin, and returns why the run does not count, or
None.
"""

from __future__ import annotations

from dataclasses import replace

from edgebench.analysis.conditions import (
    FREQUENCY,
    OTHERS_CPU,
    QUOTA,
    STEAL,
    THROTTLED,
    WAITING,
    cpu_temperatures,
    highest,
)
from edgebench.analysis.exclusion import LEAST_JUDGED_NS, MOST_EXCLUDED, is_disturbed
from edgebench.analysis.limits import Limits, percent
from edgebench.analysis.throttling import happened_during, throttle_names
from edgebench.analysis.timeline import service_times, shares_by_minute
from edgebench.facts import DeviceFacts
from edgebench.run import Run, Series
from edgebench.workload import RunPlan

#: Fewer readings than this while timed are too few to judge a run by.
_LEAST_READINGS = 3
#: A governor that follows the load needs some time at full load to raise the clock, and lowers it in pauses.
_BUSY_NS = 200_000_000
_MOST_IDLE_NS = 10_000_000
_PAUSE_NS = 100_000
_MOST_FAULTS = 10
_MOST_SWAPPED_PAGES = 256  # 1 MiB


def throttled(run: Run, _: RunPlan, _limits: Limits) -> str | None:
    """From the run's first moment on, loading included; what was so before the run is no reason."""
    series = run.trace.readings.get(THROTTLED)
    if series is None or len(series.values) == 0:
        return None
    seen = [int(value) for value in series.values]
    at_start = run.facts.board.throttled if run.facts.board is not None else None  # before the first reading
    names = throttle_names(happened_during(seen, before=at_start if at_start is not None else seen[0]))
    return f"{' and '.join(names)} during the run" if names else None


def clock_too_low(run: Run, _: RunPlan, limits: Limits) -> str | None:
    """The clock of the cores that work, while they do: others may idle, and all may between inferences.

    A board without throttle flags shows throttling by nothing else. The lowest reading is left out, for it may be torn.
    """
    allowed = _clocks_of_workers(run)
    shares = highest(
        Series(series.t_ns, 1000 * series.values // allowed[name])
        for name, series in _sensors(run, FREQUENCY)
        if name in allowed
    )
    if shares is None:
        return None
    permille = sorted(min(1000, value) for value in _while_busy(run, shares).values.tolist())
    if len(permille) < _LEAST_READINGS or sum(permille[1:]) >= 1000 * limits.clock_share * len(permille[1:]):
        return None
    return f"the clock was below {percent(limits.clock_share)} of what the governor allows"


def _clocks_of_workers(run: Run) -> dict[str, int]:
    """Return what the governor allows the cores that may do the work, kHz.

    Of cores of several kinds the kernel gives the fastest to whoever works most; a process that is bound to some cores
    (`taskset`) may work on any kind.
    """
    board = run.facts.board or DeviceFacts()
    allowed = {name: clock for name, clock in (board.clock_allowed_khz or {}).items() if clock > 0}
    if board.cores is not None and board.usable_cores is not None and board.usable_cores < board.cores:
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


def temperature_changed(run: Run, _: RunPlan, limits: Limits) -> str | None:
    """From the first readings while timed to the last."""
    for series in cpu_temperatures(run.trace.readings).values():
        if _changed_by(_while_timed(run, series).values.tolist()) > limits.temperature_mc:
            return f"the temperature changed by more than {limits.temperature_mc / 1000:.2g} °C"
    return None


def _changed_by(values: list[int]) -> int:
    """Return how far the last readings are from the first: medians of three, of few readings at least so much.

    One reading alone may be torn.
    """
    if len(values) >= 2 * _LEAST_READINGS:
        first, last = (sorted(part)[1] for part in (values[:3], values[-3:]))
        return abs(last - first)
    if len(values) < 4:
        return 0
    first_two, last_two = values[:2], values[-2:]
    return max(0, min(last_two) - max(first_two), min(first_two) - max(last_two))


def others_worked(run: Run, plan: RunPlan, limits: Limits) -> str | None:
    """By the load of others; where the kernel does not report it, by the time in which a process had to wait."""
    if OTHERS_CPU not in run.trace.readings:
        if _load(run, WAITING, limits) <= limits.load_millicores:
            return None
        return f"processes waited for a processor for more than {limits.load_cores:.2g} s per second"
    if _load(run, OTHERS_CPU, limits) > limits.load_millicores:
        return f"other processes used more than {limits.load_cores:.2g} cores"
    if _is_left_disturbed(run, plan, limits, OTHERS_CPU):
        return f"other processes used more than {limits.left_burst_cores:.2g} cores in moments that were not excluded"
    return None


def stolen(run: Run, plan: RunPlan, limits: Limits) -> str | None:
    said = "the hypervisor gave more than {:.2g} cores to other machines (steal)"
    if _load(run, STEAL, limits) > limits.load_millicores:
        return said.format(limits.load_cores)
    if _is_left_disturbed(run, plan, limits, STEAL):
        return said.format(limits.left_burst_cores) + " in moments that were not excluded"
    return None


def stopped_by_quota(run: Run, _: RunPlan, limits: Limits) -> str | None:
    if _load(run, QUOTA, limits) <= limits.load_millicores:
        return None
    return (
        f"the control group's quota stopped the run for more than {limits.load_cores:.2g} s per second; use fewer"
        " threads or a larger quota"
    )


def _is_left_disturbed(run: Run, plan: RunPlan, limits: Limits, sensor: str) -> bool:
    """Whether bursts are left that were not excluded.

    Of a sustained run, of which nothing is excluded: whether they are more than that share of some minute.
    """
    readings = {name: series for name, series in run.trace.readings.items() if name == sensor}
    disturbed = is_disturbed(replace(run, trace=replace(run.trace, readings=readings)), 1000 * limits.left_burst_cores)
    if plan.sustained_min is not None:
        return any(share > MOST_EXCLUDED for share in shares_by_minute(run, disturbed))
    return bool((disturbed & ~run.is_excluded).any())


def _load(run: Run, sensor: str, limits: Limits) -> float:
    """Return the mean load while timed, in thousandths of a core, without the fifth of the time with the most of it.

    Work in that fifth leaves the median where it is; its bursts are excluded, or speak against the run.
    """
    import numpy as np

    series = run.trace.readings.get(sensor)
    if series is None or not len(run.trace.starts_ns) or limits.timed_ns < LEAST_JUDGED_NS:
        return 0.0
    began, ended = _timed_interval(run)
    since = np.concatenate([series.t_ns[:1], series.t_ns[:-1]])
    spans = np.clip(np.minimum(series.t_ns, ended) - np.maximum(since, began), 0, None)
    order = np.argsort(series.values, kind="stable")
    values, spans = series.values[order], spans[order]
    kept = np.diff(np.minimum(np.cumsum(spans), (1 - MOST_EXCLUDED) * spans.sum()), prepend=0.0)
    return float(values @ kept / kept.sum()) if kept.sum() else 0.0


def swapped(run: Run, _: RunPlan, _limits: Limits) -> str | None:
    pages = _grown_while_timed(run, "swapped_pages")
    if pages is None or pages <= _MOST_SWAPPED_PAGES:
        return None
    return "the board swapped memory while it was timed; free some, or use a smaller model"


def clocksource_changed(run: Run, _: RunPlan, _limits: Limits) -> str | None:
    series = run.trace.readings.get("clocksource_changes")
    if series is None or not bool((series.values > 0).any()):
        return None
    return "the kernel changed the clock that everything is timed by (see dmesg)"


def faulted(run: Run, _: RunPlan, _limits: Limits) -> str | None:
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
