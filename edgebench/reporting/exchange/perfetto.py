"""A Perfetto trace of runs: a process for each run, with its phases, every inference, and what the sensors read.

Times are those of the board's monotonic clock in nanoseconds, as the trace of the run has them. Runs of one boot of a
board lie on one time line; those of different boards or boots have nothing to do with each other.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING

from edgebench.errors import UsageError
from edgebench.measurement import Measurement
from edgebench.reason import State, joined
from edgebench.reporting.exchange.perfetto_packets import (
    Argument,
    clock_packet,
    counter_packet,
    process_packet,
    slice_packets,
    track_packet,
    value_packet,
)
from edgebench.run import Run, Series
from edgebench.sensors import POWER, TEMPERATURE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Inferences and readings of one trace: some 500 MB, which is about what the Perfetto UI opens.
MOST_EVENTS = 5_000_000
#: How names of series end or begin -> their units.
_UNITS = (
    (TEMPERATURE, "m°C"),
    (POWER, "µW"),
    ("frequency_khz/", "kHz"),
    ("_bytes", "bytes"),
    ("_millicores", "millicores"),
    ("_permille", "permille"),
)


class PerfettoTrace:
    """Makes a trace, one measurement after the other, so that only one need be in memory."""

    def __init__(self, *, most_events: int = MOST_EVENTS) -> None:
        self._tracks = count(1)
        self._pids = count(1)
        self._left = self._most = most_events

    def begin(self) -> bytes:
        """Return what stands at the beginning."""
        return clock_packet()

    def measurement(self, measurement: Measurement) -> Iterator[bytes]:
        """Yield the runs of a measurement that have a trace; nothing where none has.

        Raises:
            UsageError: the trace would have more events than a viewer can open.
        """
        for run in measurement.runs:
            if not has_events(run):
                continue
            self._left -= _events(run)
            if self._left < 0:
                raise UsageError(
                    f"these measurements have more than {self._most:,} inferences and readings, "
                    "which no trace viewer opens; choose fewer measurements by their ids, or export Parquet"
                )
            yield from self._run(measurement, run)

    def _run(self, measurement: Measurement, run: Run) -> Iterator[bytes]:
        process = next(self._tracks)
        # A run that does not count is there all the same: a trace is for finding out why.
        mark = f" ({run.state})" if run.state is not State.VALID else ""
        labels = {
            "run": run.id,
            "started": run.started_at,
            "device": str(measurement.subject.device.name or ""),
            "state": str(run.state),
            "reasons": joined(run.reasons),
        }
        name = f"{measurement.subject.text}, run {run.id.rpartition('-')[2]}{mark}"
        shown = {key: text for key, text in labels.items() if text}
        yield process_packet(process, pid=next(self._pids), name=name, labels=shown)
        yield from self._slices(process, "phases", _phases(run))
        yield from self._slices(process, "inferences", _inferences(run))
        yield from self._slices(process, "excluded", _excluded(run))
        for name, series in run.trace.readings.items():
            yield from self._counter(process, name, series)

    def _slices(self, process: int, name: str, slices: Iterator[_Slice]) -> Iterator[bytes]:
        """Yield slices in the order of their beginnings; those that overlap (a server's) go to further tracks."""
        tracks: list[int] = []
        busy: list[tuple[int, int]] = []  # end of the last slice of each track
        for begin_ns, end_ns, text, arguments in slices:
            if busy and busy[0][0] <= begin_ns:
                _, number = heapq.heappop(busy)
            else:
                number = len(tracks)
                tracks.append(next(self._tracks))
                shown = f"{name} {number + 1}" if number else name
                yield track_packet(tracks[number], parent=process, name=shown)
            heapq.heappush(busy, (end_ns, number))
            yield slice_packets(
                tracks[number], begin_ns=begin_ns, end_ns=end_ns, name=text, category=name, arguments=arguments
            )

    def _counter(self, process: int, name: str, series: Series) -> Iterator[bytes]:
        track = next(self._tracks)
        yield counter_packet(track, parent=process, name=name, unit=_unit(name))
        for at_ns, value in zip(series.t_ns.tolist(), series.values.tolist(), strict=True):
            yield value_packet(track, at_ns=at_ns, value=value)


_Slice = tuple[int, int, str, dict[str, Argument]]


def has_events(run: Run) -> bool:
    """Whether the run was read with its trace, and there is something in it."""
    return _events(run) > 0


def _events(run: Run) -> int:
    trace = run.trace
    readings = sum(len(series.values) for series in trace.readings.values())
    return len(trace.latencies_ns) + len(trace.warmup_latencies_ns) + readings


def _phases(run: Run) -> Iterator[_Slice]:
    """Yield load, first inference, warm-up and timed inferences.

    Of the first two, runs have the durations alone: they are drawn so that each ends where the next phase begins.
    """
    trace = run.trace
    spans = {
        "warm-up": _span(trace.warmup_starts_ns, trace.warmup_latencies_ns),
        "timed": _span(trace.starts_ns, trace.latencies_ns),
    }
    known = {name: span for name, span in spans.items() if span is not None}
    if known:
        end_ns = min(begin for begin, _ in known.values())
        drawn: list[_Slice] = []
        for name, took_ns in (("first inference", run.first_ns), ("load", run.load_ns)):
            if took_ns is not None and 0 <= took_ns <= end_ns:
                drawn.append((end_ns - took_ns, end_ns, name, {"begin": "drawn before the next phase, not recorded"}))
                end_ns -= took_ns
        yield from reversed(drawn)
    for name, (begin_ns, end_ns) in sorted(known.items(), key=lambda each: each[1]):
        yield begin_ns, end_ns, name, {}


def _span(starts: NDArray[np.int64], latencies: NDArray[np.int64]) -> tuple[int, int] | None:
    return (int(starts.min()), int((starts + latencies).max())) if len(starts) else None


def _inferences(run: Run) -> Iterator[_Slice]:
    import numpy as np

    trace = run.trace
    starts = np.concatenate([trace.warmup_starts_ns, trace.starts_ns])
    latencies = np.concatenate([trace.warmup_latencies_ns, trace.latencies_ns])
    items = np.concatenate([trace.warmup_items, trace.items])
    timed = np.arange(len(starts)) >= len(trace.warmup_starts_ns)
    excluded = np.concatenate([np.zeros(len(trace.warmup_starts_ns), bool), run.is_excluded])
    about = _about_batch(run)
    for at in np.argsort(starts, kind="stable").tolist():
        begin_ns, item = int(starts[at]), int(items[at])
        arguments: dict[str, Argument] = {**about(item), "timed": bool(timed[at])}
        if excluded[at]:
            arguments["excluded"] = True
        yield begin_ns, begin_ns + int(latencies[at]), f"input {item}", arguments


def _about_batch(run: Run) -> Callable[[int], dict[str, Argument]]:
    facts = run.facts
    columns: dict[str, Sequence[int]] = {
        "tokens": facts.batch_tokens or (),
        "padded_tokens": facts.batch_padded_tokens or (),
        "batch": facts.batch_sizes or (),
    }

    def about(item: int) -> dict[str, Argument]:
        known: dict[str, Argument] = {name: values[item] for name, values in columns.items() if 0 <= item < len(values)}
        return {"input": item, **known}

    return about


def _excluded(run: Run) -> Iterator[_Slice]:
    for begin_ns, end_ns in sorted(run.excluded_spans):
        yield begin_ns, end_ns, "excluded", {}


def _unit(name: str) -> str:
    for part, unit in _UNITS:
        if name.startswith(part) if part.endswith("/") else name.endswith(part):
            return unit
    return ""
