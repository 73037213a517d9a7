"""Measuring: first inference, warm-up, timed loop.

Nothing but the call, two clock reads and two stores happens between one inference and the next, until it is time to
send what was measured.
"""

import gc
import time
from array import array
from dataclasses import replace
from random import Random
from statistics import median
from typing import Any, Callable, Iterator, List, Sequence, Tuple, Union

from ..protocol.failure import Failure
from ..protocol.messages import Done, First, Log, WarmedUp
from ..protocol.run_spec import RunSpec
from ..runtimes.interface import Model
from .inputs import Batches
from .supervisor_channel import Supervisor, send_latencies

#: Inferences that are kept in memory until they are sent.
_BUFFER = 1 << 15
_SEND_EVERY_NS = 500_000_000

_WINDOW_NS = 50_000_000
_WINDOW_COUNT = 4096
_WINDOWS = 6  # compared three with three
_WARMUP_NS = 10_000_000_000
_WARMUP_COUNT = 100_000
_SAME = 0.01  # medians so near are one, whatever the order of the windows

#: A sleep ends late by so much at most, so the rest of the time to a query's arrival is spent looking at the clock.
_SPIN_NS = 1_000_000
#: What was measured is sent while nothing waits and nothing will arrive for so long; at the latest after this patience.
_QUIET_NS = 5_000_000
_PATIENCE_NS = 1_500_000_000
#: Longer sleeps are broken up: somebody may want the run to end.
_NAP_NS = 100_000_000
_ARRIVALS = 4096  # drawn at a time

_clock = time.monotonic_ns


def infer_first(loaded: Sequence[Tuple[Model, Batches]], supervisor: Supervisor) -> None:
    """Run one inference of each model, and send how long it took: with loading, that is how a process starts."""
    first = [batches.arrays(0) for _, batches in loaded]
    supervisor.enter("first")
    for number, (model, _) in enumerate(loaded):
        began = _clock()
        model.infer(first[number])
        supervisor.send(First(_clock() - began, number))


def measure(spec: RunSpec, loaded: Sequence[Tuple[Model, Batches]], supervisor: Supervisor) -> None:
    """Measure the models as the specification says, several of them in rotation, and send what is found.

    Raises:
        Stopped: the supervisor asked for the end; what was measured so far has been sent.
    """
    loops = [_loop_for(spec, number, *each, supervisor) for number, each in enumerate(loaded)]
    infer_first(loaded, supervisor)
    gc.collect()
    gc.freeze()
    gc.disable()
    supervisor.enter("warmup")
    for number, (loop, (_, batches)) in enumerate(zip(loops, loaded)):
        steady = _warm_up(loop, batches, spec.max_duration_ns)
        supervisor.send(WarmedUp(steady, loop.count, number))
    supervisor.enter("measuring")
    timed, distinct = Rotation(loops, supervisor) if len(loops) > 1 else loops[0], len(loaded[0][1])
    shared = replace(
        spec,
        min_duration_ns=len(loops) * spec.min_duration_ns,
        max_duration_ns=len(loops) * spec.max_duration_ns,
        most_count=max(1, spec.most_count // len(loops)),  # the journal is bounded, however many fill it
    )
    timed.start_over()
    _timed(timed, shared, distinct)
    for text in _cut_short(timed, shared, distinct):
        supervisor.send(Log(text))
    supervisor.enter("finishing")
    supervisor.send(Done(timed.count, timed.last_ns - timed.first_ns))


class TimedLoop:
    """Runs inferences of a model in turn, and sends when each began and how long it took once it rests."""

    def __init__(
        self, infer: Callable[[Any], Any], arrays: Sequence[Any], supervisor: Supervisor, number: int = 0
    ) -> None:
        self.infer = infer
        self.arrays = arrays
        self._supervisor = supervisor
        self._number = number
        self._starts = array("q", bytes(8 * _BUFFER))
        self._ends = array("q", bytes(8 * _BUFFER))
        self._warmup = True
        self.count = 0
        self.first_ns = 0
        self.last_ns = 0

    def start_over(self) -> None:
        """Count from zero, and not as warm-up any more."""
        self._warmup = False
        self.count = 0

    def run(self, items: Sequence[int], limit: int, until_ns: int) -> Tuple[int, int]:
        """Run the batches `items` in turn until `limit` inferences are done or one ends after `until_ns`.

        Returns:
            The number of inferences, and the median of their latencies in nanoseconds.

        Raises:
            Stopped: after what was measured has been sent.
        """
        count = self._block([self.arrays[item] for item in items], min(limit, _BUFFER), until_ns)
        if not self.count:
            self.first_ns = self._starts[0]
        self.last_ns = self._ends[count - 1]
        self.count += count
        starts = self._starts[:count].tolist()
        latencies = [ended - began for began, ended in zip(starts, self._ends)]
        ran = [items[at % len(items)] for at in range(count)]
        send_latencies(self._supervisor, starts, latencies, ran, self._warmup, self._number)
        self._supervisor.check()
        return count, int(median(latencies))

    def _block(self, arrays: Sequence[Any], limit: int, until_ns: int) -> int:
        infer, starts, ends, clock = self.infer, self._starts, self._ends, _clock
        distinct = len(arrays)
        count = position = 0
        while count < limit:
            batch = arrays[position]
            began = clock()
            infer(batch)
            ended = clock()
            starts[count] = began
            ends[count] = ended
            count += 1
            position += 1
            if position == distinct:
                position = 0
            if ended >= until_ns:
                break
        return count


class ServedLoop(TimedLoop):
    """Runs inferences as queries arrive, and counts each one's latency from its arrival.

    When they arrive is drawn from the seed alone (Poisson), before they do: how fast they are served has no part in it.
    One query is served at a time, first come, first served: those that arrive meanwhile wait. Warm-up does not wait.
    """

    def __init__(
        self, infer: Callable[[Any], Any], arrays: Sequence[Any], supervisor: Supervisor, rate_mhz: int, seed: int
    ) -> None:
        super().__init__(infer, arrays, supervisor)
        self._gaps_ns = gaps_ns(rate_mhz, seed)
        self._arrivals: List[int] = []
        self._last_arrival_ns = 0  # from the beginning, which is not yet

    def start_over(self) -> None:
        """Count from zero, and let queries arrive from now on."""
        super().start_over()
        self._draw()
        now = _clock()
        self._arrivals = [now + arrival for arrival in self._arrivals]
        self._last_arrival_ns += now

    def _block(self, arrays: Sequence[Any], limit: int, until_ns: int) -> int:
        if self._warmup:
            return super()._block(arrays, limit, until_ns)
        self._draw()
        infer, starts, ends, clock = self.infer, self._starts, self._ends, _clock
        distinct = len(arrays)
        count = position = 0
        ended = clock()
        for arrival in self._arrivals[:limit]:
            # What was measured is sent while nothing waits, for whatever arrived then would wait for us.
            quiet = arrival - ended > _QUIET_NS
            if count and ((quiet and arrival > until_ns) or ended >= until_ns + _PATIENCE_NS):
                break
            self._wait_until(arrival)
            infer(arrays[position])
            ended = clock()
            starts[count] = arrival
            ends[count] = ended
            count += 1
            position += 1
            if position == distinct:
                position = 0
        del self._arrivals[:count]
        return count

    def _draw(self) -> None:
        while len(self._arrivals) < _ARRIVALS:
            self._last_arrival_ns += next(self._gaps_ns)
            self._arrivals.append(self._last_arrival_ns)

    def _wait_until(self, arrival_ns: int) -> None:
        ahead = arrival_ns - _clock()
        while ahead > _SPIN_NS:
            if ahead > _NAP_NS:
                self._supervisor.check()  # nothing is lost: what was measured before so long a wait has been sent
            time.sleep(min(ahead - _SPIN_NS, _NAP_NS) / 1e9)
            ahead = arrival_ns - _clock()
        while _clock() < arrival_ns:
            pass


class Rotation:
    """Runs inferences of several models in rotation, each batch by all of them before the next.

    What slows the board down for longer than a few inferences meets all models alike, so what they tell of each other
    is in what they take for the same batch. Each finds the processor's caches as another one left them.
    """

    def __init__(self, loops: Sequence[TimedLoop], supervisor: Supervisor) -> None:
        self._loops = loops
        self._supervisor = supervisor
        self._most = _BUFFER // len(loops)
        self._starts = array("q", bytes(8 * _BUFFER))
        self._ends = array("q", bytes(8 * _BUFFER))
        self.count = 0  # of each model
        self.first_ns = 0
        self.last_ns = 0

    def start_over(self) -> None:
        """Count from zero."""
        self.count = 0

    def run(self, items: Sequence[int], limit: int, until_ns: int) -> None:
        """Run the batches `items` in turn until `limit` of them are done or a rotation ends after `until_ns`.

        Raises:
            Stopped: after what was measured has been sent.
        """
        models = len(self._loops)
        turn = [[(loop.infer, loop.arrays[item]) for loop in self._loops] for item in items]
        done = models * self._block(turn, min(limit, self._most), until_ns)
        if not self.count:
            self.first_ns = self._starts[0]
        self.last_ns = self._ends[done - 1]
        self.count += done // models
        ran = [items[at % len(items)] for at in range(done // models)]
        for number in range(models):
            starts = self._starts[number:done:models].tolist()
            latencies = [ended - began for began, ended in zip(starts, self._ends[number:done:models])]
            send_latencies(self._supervisor, starts, latencies, ran, False, number)
        self._supervisor.check()

    def _block(self, turn: Sequence[Sequence[Tuple[Callable[[Any], Any], Any]]], limit: int, until_ns: int) -> int:
        starts, ends, clock = self._starts, self._ends, _clock
        distinct = len(turn)
        count = at = 0
        ended = 0
        while count < limit and ended < until_ns:
            for infer, batch in turn[count % distinct]:
                began = clock()
                infer(batch)
                ended = clock()
                starts[at] = began
                ends[at] = ended
                at += 1
            count += 1
        return count


def gaps_ns(rate_mhz: int, seed: int) -> Iterator[int]:
    """Yield the times between arrivals of a Poisson process of that rate (per 1000 s): exponential, from the seed."""
    random = Random(seed)  # noqa: S311 - arrivals, no secrets
    per_ns = rate_mhz / 1e12
    while True:
        yield max(1, round(random.expovariate(per_ns)))


def _loop_for(spec: RunSpec, number: int, model: Model, batches: Batches, supervisor: Supervisor) -> TimedLoop:
    arrays = [batches.arrays(index) for index in range(len(batches))]
    if spec.scenario != "server":
        return TimedLoop(model.infer, arrays, supervisor, number)
    if not spec.rate_mhz:
        raise Failure("bad_request", "a server needs a rate of queries")
    return ServedLoop(model.infer, arrays, supervisor, spec.rate_mhz, spec.seed)


def _warm_up(loop: TimedLoop, batches: Batches, limit_ns: int) -> bool:
    """Run until the drift of window medians has ended; return whether it was seen to end within the bounds.

    One batch of each shape runs first, for a runtime prepares itself for each new shape. Then one of middle size runs
    again and again: only latencies of the same work can be compared.
    """
    began = _clock()
    items = batches.shapes()
    loop.run(items, len(items), began + limit_ns)
    typical = [items[len(items) // 2]]
    medians: List[int] = []
    while not has_settled(medians):
        now = _clock()
        enough = len(medians) >= _WINDOWS and (now - began > _WARMUP_NS or loop.count > _WARMUP_COUNT)
        if enough or now - began > limit_ns:
            return False
        medians.append(loop.run(typical, _WINDOW_COUNT, now + _WINDOW_NS)[1])
    return True


def has_settled(medians: Sequence[int]) -> bool:
    """Say whether the medians drift no more: the newer three no longer lie all above or all below the older three."""
    if len(medians) < _WINDOWS:
        return False
    half = _WINDOWS // 2
    older, newer = medians[-_WINDOWS:-half], medians[-half:]
    overlap = min(older) <= max(newer) and min(newer) <= max(older)
    return overlap or abs(median(newer) - median(older)) <= _SAME * median(older)


def _timed(loop: Union[TimedLoop, Rotation], spec: RunSpec, distinct: int) -> None:
    """Run batches in turn until both minima are reached, or the largest count; then to the end of the turn.

    Batches differ, e.g. in length: only whole turns weigh all of them the same. The longest time ends it anywhere.
    """
    most = max(spec.min_count, spec.most_count)
    began = _clock()
    while True:
        now = _clock()
        enough_time = now - began >= spec.min_duration_ns
        turn = loop.count % distinct
        enough = loop.count >= most or (enough_time and loop.count >= spec.min_count)
        if (enough and not turn) or (loop.count and now - began >= spec.max_duration_ns):
            return
        limit = distinct - turn if enough else (spec.min_count if enough_time else most) - loop.count
        longest = spec.max_duration_ns if enough or enough_time else min(spec.min_duration_ns, spec.max_duration_ns)
        loop.run([*range(turn, distinct), *range(turn)], limit, min(began + longest, now + _SEND_EVERY_NS))


def _cut_short(loop: Union[TimedLoop, Rotation], spec: RunSpec, distinct: int) -> Iterator[str]:
    """Yield what a person should know of an end that is not the one which was asked for."""
    seconds = (loop.last_ns - loop.first_ns) / 1e9
    wanted = min(spec.min_duration_ns, spec.max_duration_ns) / 1e9
    if loop.count >= max(spec.min_count, spec.most_count) and seconds < wanted:
        yield (
            f"the run ended after {loop.count} inferences in {seconds:.3g} s, before the {wanted:g} s that it was to "
            f"take: a run's journal holds no more"
        )
    if loop.count % distinct:
        yield (
            f"the longest time, {spec.max_duration_ns / 1e9:g} s, ended the run within a turn: of {distinct} batches, "
            f"the first {loop.count % distinct} ran once more than the others"
        )
