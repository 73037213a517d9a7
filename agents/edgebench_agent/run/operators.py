"""Mode operators: how long each operator of a model takes, by the runtime's own profiler.

This is a run of its own, because a profiler adds time: latencies under a profiler are not a result.
"""

import time
from pathlib import Path
from typing import Any, List, Sequence

from ..protocol.checks import MAX_ITEMS
from ..protocol.failure import Failure
from ..protocol.messages import Done, Operators
from ..protocol.wire import one_line
from ..runtimes.interface import Operator, Profiler
from ..runtimes.registry import RUNTIMES, open_runtime
from .finite import check_model
from .inputs import Batches
from .supervisor_channel import SupervisorChannel

#: Each batch runs this often before inferences count, because a runtime prepares itself for each new shape.
_WARMUP_PASSES = 2
_LEAST, _MOST = 10, 1000
_SHORTEST_NS, _LONGEST_NS = 1_000_000_000, 20_000_000_000
_MOST_BATCHES = 64
_MAX_NAME = 255


def open_profiler(runtime: str, path: str, *, threads: int, providers: Sequence[str], folder: Path) -> Profiler:
    """Load a model with the runtime's profiler on; the profiler writes its files into `folder`.

    Raises:
        Failure: bad_request: the runtime has no profiler; or loading failed.
    """
    module = open_runtime(runtime)
    opened: Any = getattr(module, "open_profiler", None)
    if opened is None:
        known = [name for name in RUNTIMES if hasattr(open_runtime(name), "open_profiler")]
        raise Failure("bad_request", f"{runtime} has no operator profiler here; there is one in {', '.join(known)}")
    profiler: Profiler = opened(path, threads=threads, providers=providers, folder=folder)
    return profiler


def profile_operators(profiler: Profiler, batches: Batches, channel: SupervisorChannel) -> None:
    """Run the first batches in complete passes, and send the time of each operator."""
    arrays = [batches.arrays(index) for index in range(min(len(batches), _MOST_BATCHES))]
    infer = profiler.model.infer
    channel.enter("warmup")
    for position, batch in enumerate(arrays * _WARMUP_PASSES):
        check_model(profiler.model, infer(batch), batches, position % len(arrays), 0)
        channel.check()
    channel.enter("measuring")
    count = wall_ns = 0
    while count < _MOST and wall_ns < _LONGEST_NS and (count < _LEAST or count % len(arrays) or wall_ns < _SHORTEST_NS):
        began = time.monotonic_ns()
        infer(arrays[count % len(arrays)])
        wall_ns += time.monotonic_ns() - began
        profiler.keep()
        count += 1
        channel.check()
    _send(profiler.stop(), count, wall_ns, channel)
    channel.enter("finishing")
    channel.send(Done(0, 0))


def _send(operators: List[Operator], count: int, wall_ns: int, channel: SupervisorChannel) -> None:
    operators = sorted(operators, key=lambda each: -each.total_ns)[:MAX_ITEMS]
    for at in range(0, len(operators), MAX_ITEMS // 8):
        part = operators[at : at + MAX_ITEMS // 8]
        channel.send(
            Operators(
                inferences=count,
                wall_ns=wall_ns,
                names=[one_line(each.name, _MAX_NAME) for each in part],
                types=[one_line(each.type, _MAX_NAME) for each in part],
                providers=[one_line(each.provider, _MAX_NAME) for each in part],
                calls=[each.calls for each in part],
                total_ns=[each.total_ns for each in part],
            )
        )
