"""How a measurement goes: first inference, warm-up, timed loop."""

import gc
import time
from dataclasses import replace
from typing import Iterator, Sequence, Tuple, Union

from ..protocol.failure import Failure
from ..protocol.messages import Done, First, Log, WarmedUp
from ..protocol.run_spec import RunSpec
from ..runtimes.interface import Model
from .finite import check_afterwards, check_model, run_each_shape
from .inputs import Batches
from .loops import Rotation, ServerLoop, TimedLoop
from .supervisor_channel import SupervisorChannel
from .warm_up import WINDOWS, RotationWarmUp, WarmUp

_SEND_EVERY_NS = 500_000_000

_WINDOW_NS = 50_000_000
#: Ratios of latencies are noisier than latencies, and noise should have few chances to look like a drift.
_ROTATION_WINDOW_NS = 250_000_000
_WINDOW_COUNT = 4096
_WARMUP_COUNT = 100_000

_clock = time.monotonic_ns


def infer_first(loaded: Sequence[Tuple[Model, Batches]], channel: SupervisorChannel) -> None:
    """Run one inference of each model and send its time: together with loading, the cost of a cold start."""
    first = [batches.arrays(0) for _, batches in loaded]
    channel.enter("first")
    for number, (model, batches) in enumerate(loaded):
        began = _clock()
        outputs = model.infer(first[number])
        channel.send(First(_clock() - began, number))
        check_model(model, outputs, batches, 0, number)
        del outputs  # those of a large vocabulary take as much memory as the model


def measure(spec: RunSpec, loaded: Sequence[Tuple[Model, Batches]], channel: SupervisorChannel) -> None:
    """Measure the models as specified, several of them in rotation, and send the latencies.

    Raises:
        Stopped: the supervisor requested the end; the latencies so far have been sent.
    """
    loops = [_loop_for(spec, number, *each, channel) for number, each in enumerate(loaded)]
    infer_first(loaded, channel)
    gc.collect()
    gc.freeze()
    gc.disable()
    channel.enter("warmup")
    for number, (loop, (model, batches)) in enumerate(zip(loops, loaded)):
        run_each_shape(loop, model, batches, number)
    timed, distinct = Rotation(loops, channel) if len(loops) > 1 else loops[0], len(loaded[0][1])
    timed.count = loops[0].count  # of the shapes
    shared = replace(  # bounds are of each model's share
        spec,
        warmup_ns=len(loops) * spec.warmup_ns,
        min_duration_ns=len(loops) * spec.min_duration_ns,
        max_duration_ns=len(loops) * spec.max_duration_ns,
        most_count=max(1, spec.most_count // len(loops)),  # the models share one bounded journal
    )
    steady = _warm_up(timed, loaded[0][1], shared)
    for number in range(len(loops)):
        channel.send(WarmedUp(steady, timed.count, number))
    channel.enter("measuring")
    timed.start_over()
    _timed(timed, shared, distinct)
    for text in _cut_short(timed, shared, distinct):
        channel.send(Log(text))
    channel.enter("finishing")
    for number, (model, batches) in enumerate(loaded):
        timed_ns = (timed.last_ns - timed.first_ns) // len(loaded)
        check_afterwards(model, batches, number, timed_ns=timed_ns, seed=spec.seed)
        channel.check()
    channel.send(Done(timed.count, timed.last_ns - timed.first_ns))


def _loop_for(spec: RunSpec, number: int, model: Model, batches: Batches, channel: SupervisorChannel) -> TimedLoop:
    arrays = [batches.arrays(index) for index in range(len(batches))]
    if spec.scenario != "server":
        return TimedLoop(model.infer, arrays, channel, number)
    if not spec.rate_mhz:
        raise Failure("bad_request", "a server needs a rate of queries")
    return ServerLoop(model.infer, arrays, channel, spec.rate_mhz, spec.seed)


def _warm_up(timed: Union[TimedLoop, Rotation], batches: Batches, spec: RunSpec) -> bool:
    """Run until latencies no longer drift; return whether nothing showed within the bounds that they still do.

    One batch of each shape has run before. One of medium size runs repeatedly: only latencies of the same work can be
    compared. Models that alternate warm up in rotation, and only their ratios are watched: what slows all of them
    does not hold up their comparison.
    """
    began = _clock()
    items = batches.shapes()
    typical = [items[len(items) // 2]]
    rotates = isinstance(timed, Rotation)
    warm_up = RotationWarmUp(spec.most_fall_ppm_per_s) if rotates else WarmUp(spec.most_fall_ppm_per_s)
    window_ns = _ROTATION_WINDOW_NS if rotates and spec.most_fall_ppm_per_s else _WINDOW_NS
    windows = 0
    while not warm_up.has_ended():
        now = _clock()
        is_over = windows >= WINDOWS and (now - began > spec.warmup_ns or timed.count > _WARMUP_COUNT)
        if is_over or now - began > spec.max_duration_ns:
            return spec.most_fall_ppm_per_s > 0 and warm_up.is_steady()
        latencies = timed.run(typical, _WINDOW_COUNT, now + window_ns)
        warm_up.add(_clock() - began, latencies)
        windows += 1
    return True


def _timed(loop: Union[TimedLoop, Rotation], spec: RunSpec, distinct: int) -> None:
    """Cycle through the batches until both minima or the largest count are reached; then complete the pass.

    Batches differ, e.g. in length, and only complete passes give all of them the same weight. The maximum duration may
    end the loop within a pass.
    """
    most = max(spec.min_count, spec.most_count)
    began = _clock()
    while True:
        now = _clock()
        enough_time = now - began >= spec.min_duration_ns
        position = loop.count % distinct
        enough = loop.count >= most or (enough_time and loop.count >= spec.min_count)
        if (enough and not position) or (loop.count and now - began >= spec.max_duration_ns):
            return
        limit = distinct - position if enough else (spec.min_count if enough_time else most) - loop.count
        longest = spec.max_duration_ns if enough or enough_time else min(spec.min_duration_ns, spec.max_duration_ns)
        loop.run([*range(position, distinct), *range(position)], limit, min(began + longest, now + _SEND_EVERY_NS))


def _cut_short(loop: Union[TimedLoop, Rotation], spec: RunSpec, distinct: int) -> Iterator[str]:
    """Yield notes about an end that is not the requested one."""
    seconds = (loop.last_ns - loop.first_ns) / 1e9
    wanted = min(spec.min_duration_ns, spec.max_duration_ns) / 1e9
    if loop.count >= max(spec.min_count, spec.most_count) and seconds < wanted:
        yield (
            f"the run ended after {loop.count} inferences in {seconds:.3g} s, before the {wanted:g} s that it was to "
            f"take: a run's journal holds no more"
        )
    if loop.count % distinct:
        yield (
            f"the longest time, {spec.max_duration_ns / 1e9:g} s, ended the run within a pass over its inputs: "
            f"of {distinct} batches, the first {loop.count % distinct} ran once more than the others; "
            f"raise `max_duration_s`"
        )
