"""How a run went on: when each inference was begun and ended, what was done by when, and minute by minute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgebench.analysis.conditions import FREQUENCY, OTHERS_CPU, THROTTLED, cpu_temperatures
from edgebench.analysis.throttling import happened_during, throttle_names
from edgebench.figures import Minute, Sustained
from edgebench.run import Run, Series, Trace
from edgebench.stats import quantiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MS = 1e6  # nanoseconds in a millisecond
_MINUTE_NS = 60_000_000_000
_MOST_MINUTES = 10_000  # a week; more is a board's wrong clock


def service_times(trace: Trace) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return when each inference was begun and ended, shape (inferences,) both.

    One at a time, first come, first served: one that had to wait was begun when the one before it had ended. In every
    scenario but the server's, that is where its latency starts.
    """
    import numpy as np

    ends = trace.starts_ns + trace.latencies_ns
    return np.maximum(trace.starts_ns, np.concatenate([trace.starts_ns[:1], ends[:-1]])), ends


def mean_service_s(trace: Trace) -> float:
    """Return how long an inference is worked on, on average; of a server's queries without their waiting."""
    begun_ns, ended_ns = service_times(trace)
    return float((ended_ns - begun_ns).mean()) / 1e9


def inputs_done(run: Run, times_ns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many inputs were done at each of these times; an inference that goes on counts in part.

    It is done while it is served, not while it waits. Every inference counts with the run's mean number of inputs (they
    differ only where a last batch is short).
    """
    import numpy as np

    begun_ns, ended_ns = service_times(run.trace)
    begun = np.clip(np.searchsorted(begun_ns, times_ns, side="right") - 1, 0, None)
    part = np.clip((times_ns - begun_ns[begun]) / np.maximum(ended_ns - begun_ns, 1)[begun], 0, 1)
    done: NDArray[np.float64] = (begun + part) * (run.inferences / len(begun_ns))
    return done


def sustained_of(runs: Sequence[Run], planned_min: float) -> Sustained:
    """Return the minutes of a sustained run: of the valid one, else of the one that got furthest."""
    best = max(runs, key=lambda run: (run.valid, len(run.latencies_ns)), default=None)
    return Sustained(planned_min=planned_min, minutes=tuple(minutes_of(best)) if best is not None else ())


def minutes_of(run: Run) -> list[Minute]:
    """Return a run minute by minute, from its first inference's start; an inference belongs to where it ended.

    The last one is what is left: half a minute to one and a half; less where the run itself is shorter.
    """
    import numpy as np

    trace = run.trace
    if not len(trace.starts_ns):
        return []
    borders, of = _by_minute(trace)
    count = len(borders) - 1
    done = np.diff(inputs_done(run, borders.astype(np.float64)))
    return [
        _minute(
            number,
            run.trace.readings,
            trace.latencies_ns[of == number],
            (int(borders[number - 1]), int(borders[number])),
            float(done[number - 1]),
        )
        for number in range(1, count + 1)
    ]


def shares_by_minute(run: Run, which: NDArray[np.bool_]) -> list[float]:
    """Return the share of each minute's inferences that `which`, shape (inferences,), says; of empty minutes none."""
    import numpy as np

    if not len(which):
        return []
    _, of = _by_minute(run.trace)
    counts = np.bincount(of)
    shares: list[float] = (np.bincount(of, which)[counts > 0] / counts[counts > 0]).tolist()
    return shares


def _by_minute(trace: Trace) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the borders of the minutes, shape (minutes + 1,), and the minute that each inference ended in, from 1."""
    import numpy as np

    ends = trace.starts_ns + trace.latencies_ns
    began, ended = int(trace.starts_ns[0]), int(ends[-1])
    count = min(_MOST_MINUTES, max(1, round((ended - began) / _MINUTE_NS)))
    borders = np.array([*(began + _MINUTE_NS * number for number in range(count)), max(ended, began + 1)], np.int64)
    return borders, np.clip(np.searchsorted(borders, ends, side="left"), 1, count)


def _minute(
    number: int, readings: Mapping[str, Series], latencies_ns: NDArray[np.int64], between: tuple[int, int], done: float
) -> Minute:
    seconds = (between[1] - between[0]) / 1e9
    p50, p95 = (value / _MS if value is not None else None for value in quantiles(latencies_ns, (0.5, 0.95)))
    temperatures = [_within(series, between) for series in cpu_temperatures(readings).values()]
    clocks = [_within(series, between) for name, series in readings.items() if name.startswith(FREQUENCY)]
    others = _within(readings[OTHERS_CPU], between) if OTHERS_CPU in readings else None
    hottest = max((int(values.max()) for values in temperatures if len(values)), default=None)
    return Minute(
        number=number,
        seconds=seconds,
        inferences=len(latencies_ns),
        p50_ms=p50,
        p95_ms=p95,
        throughput_per_s=done / seconds,
        clock_mhz=_fastest_khz(clocks),
        temperature_c=hottest / 1000 if hottest is not None else None,
        throttled=_throttled(readings.get(THROTTLED), between),
        others_cores=float(others.mean()) / 1000 if others is not None and len(others) else None,
    )


def _within(series: Series, between: tuple[int, int]) -> NDArray[np.int64]:
    return series.values[(series.t_ns >= between[0]) & (series.t_ns < between[1])]


def _fastest_khz(clocks: Sequence[NDArray[np.int64]]) -> float | None:
    """Return the mean in MHz of the clock that was fastest at each reading, for cores that idle are slow."""
    readings = min((len(values) for values in clocks), default=0)
    if not readings:
        return None
    return sum(max(int(values[at]) for values in clocks) for at in range(readings)) / readings / 1000


def _throttled(series: Series | None, between: tuple[int, int]) -> tuple[str, ...] | None:
    if series is None or not len(within := _within(series, between)):
        return None
    earlier = series.values[series.t_ns < between[0]]
    before = int(earlier[-1]) if len(earlier) else int(within[0])
    return tuple(throttle_names(happened_during((int(value) for value in within), before=before)))
