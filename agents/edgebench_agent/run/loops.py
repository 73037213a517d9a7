"""The loops that time inferences: back to back, as queries arrive, several models in rotation.

Between one inference and the next there are only two clock reads and two stores, until it is time to send what was
measured.
"""

import time
from array import array
from random import Random
from typing import Any, Callable, Iterator, List, Sequence, Tuple

from .supervisor_channel import SupervisorChannel, send_latencies

#: Inferences that are kept in memory until they are sent.
_BUFFER = 1 << 15

#: A sleep ends late by at most so much, so the loop waits actively for the last part of the time to an arrival.
_SPIN_NS = 1_000_000
#: Latencies are sent while no query waits and none arrives for so long, because sending delays a query that arrives
#: meanwhile; at the latest so long after they should have been sent.
_QUIET_NS = 5_000_000
_LONGEST_DELAY_NS = 1_500_000_000
#: Longer sleeps are divided, so that a request to end is noticed.
_LONGEST_SLEEP_NS = 100_000_000
_ARRIVALS = 4096  # drawn at a time

_clock = time.monotonic_ns


class TimedLoop:
    """Runs inferences of a model back to back; afterwards sends when each began and how long it took."""

    def __init__(
        self, infer: Callable[[Any], Any], arrays: Sequence[Any], channel: SupervisorChannel, number: int = 0
    ) -> None:
        self.infer = infer
        self.arrays = arrays
        self._channel = channel
        self._number = number
        self._starts = array("q", bytes(8 * _BUFFER))
        self._ends = array("q", bytes(8 * _BUFFER))
        self._warmup = True
        self.count = 0
        self.first_ns = 0
        self.last_ns = 0

    def start_over(self) -> None:
        """End the warm-up: count from zero."""
        self._warmup = False
        self.count = 0

    def run(self, items: Sequence[int], limit: int, until_ns: int) -> List[List[int]]:
        """Cycle through the batches `items` until `limit` inferences are done or one ends after `until_ns`.

        Returns:
            The latencies of the only model, in nanoseconds.

        Raises:
            Stopped: this process was requested to end; the latencies so far have been sent.
        """
        count = self._block([self.arrays[item] for item in items], min(limit, _BUFFER), until_ns)
        if not self.count:
            self.first_ns = self._starts[0]
        self.last_ns = self._ends[count - 1]
        self.count += count
        starts = self._starts[:count].tolist()
        latencies = [ended - began for began, ended in zip(starts, self._ends)]
        ran = [items[at % len(items)] for at in range(count)]
        send_latencies(self._channel, starts, latencies, ran, self._warmup, self._number)
        self._channel.check()
        return [latencies]

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


class ServerLoop(TimedLoop):
    """Runs inferences as queries arrive; a query's latency counts from its arrival.

    The arrivals (a Poisson process) are drawn from the seed alone: they do not depend on how fast queries are served.
    One query is served at a time, in order of arrival; later ones wait. Warm-up does not wait for arrivals.
    """

    def __init__(
        self, infer: Callable[[Any], Any], arrays: Sequence[Any], channel: SupervisorChannel, rate_mhz: int, seed: int
    ) -> None:
        super().__init__(infer, arrays, channel)
        self._gaps_ns = gaps_ns(rate_mhz, seed)
        self._arrivals: List[int] = []
        self._last_arrival_ns = 0  # relative to the start, until there is one

    def start_over(self) -> None:
        """End the warm-up: count from zero, with arrivals from now on."""
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
            # Sending takes time that a query would have to wait, so latencies are sent while none is expected.
            quiet = arrival - ended > _QUIET_NS
            if count and ((quiet and arrival > until_ns) or ended >= until_ns + _LONGEST_DELAY_NS):
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
            if ahead > _LONGEST_SLEEP_NS:
                self._channel.check()  # nothing is lost: latencies are sent before such a long wait
            time.sleep(min(ahead - _SPIN_NS, _LONGEST_SLEEP_NS) / 1e9)
            ahead = arrival_ns - _clock()
        while _clock() < arrival_ns:
            pass


class Rotation:
    """Runs inferences of several models in rotation: all of them run a batch before any runs the next.

    Anything that slows the board down for longer than a few inferences affects all models alike, so their latencies for
    the same batch can be compared directly. Each model finds the CPU caches as the previous one left them.
    """

    def __init__(self, loops: Sequence[TimedLoop], channel: SupervisorChannel) -> None:
        self._loops = loops
        self._channel = channel
        self._warmup = True
        self._max_count = _BUFFER // len(loops)
        self._starts = array("q", bytes(8 * _BUFFER))
        self._ends = array("q", bytes(8 * _BUFFER))
        self.count = 0  # of each model
        self.first_ns = 0
        self.last_ns = 0

    def start_over(self) -> None:
        """End the warm-up: count from zero."""
        self._warmup = False
        self.count = 0

    def run(self, items: Sequence[int], limit: int, until_ns: int) -> List[List[int]]:
        """Cycle through the batches `items` until `limit` of them are done or a rotation ends after `until_ns`.

        Returns:
            The latencies of each model, in nanoseconds.

        Raises:
            Stopped: this process was requested to end; the latencies so far have been sent.
        """
        models = len(self._loops)
        calls = [[(loop.infer, loop.arrays[item]) for loop in self._loops] for item in items]
        done = models * self._block(calls, min(limit, self._max_count), until_ns)
        if not self.count:
            self.first_ns = self._starts[0]
        self.last_ns = self._ends[done - 1]
        self.count += done // models
        ran = [items[at % len(items)] for at in range(done // models)]
        of_models = []
        for number in range(models):
            starts = self._starts[number:done:models].tolist()
            latencies = [ended - began for began, ended in zip(starts, self._ends[number:done:models])]
            send_latencies(self._channel, starts, latencies, ran, self._warmup, number)
            of_models.append(latencies)
        self._channel.check()
        return of_models

    def _block(self, calls: Sequence[Sequence[Tuple[Callable[[Any], Any], Any]]], limit: int, until_ns: int) -> int:
        starts, ends, clock = self._starts, self._ends, _clock
        distinct = len(calls)
        count = at = 0
        ended = 0
        while count < limit and ended < until_ns:
            for infer, batch in calls[count % distinct]:
                began = clock()
                infer(batch)
                ended = clock()
                starts[at] = began
                ends[at] = ended
                at += 1
            count += 1
        return count


def gaps_ns(rate_mhz: int, seed: int) -> Iterator[int]:
    """Yield the times between arrivals of a Poisson process of this rate (queries per 1000 s), drawn from the seed."""
    random = Random(seed)  # noqa: S311 - arrivals, no secrets
    per_ns = rate_mhz / 1e12
    while True:
        yield max(1, round(random.expovariate(per_ns)))
