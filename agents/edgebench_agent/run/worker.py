"""The worker, a process of its own: import the runtime, load the model, measure or infer.

It sends messages to its supervisor between inferences only, and waits for the go-ahead before each phase.
"""

import os
import time
import traceback
from typing import List, Tuple

from ..home import Home, RunFolder
from ..protocol.failure import DISK_FULL, Failure
from ..protocol.messages import Done, Failed, Loaded
from ..protocol.run_spec import RunSpec
from ..protocol.wire import one_line
from ..runtimes.interface import Model
from ..runtimes.registry import describe, open_runtime
from .infer import infer_all
from .inputs import Batches, lengths_taken, rows_taken
from .measure import infer_first, measure
from .operators import open_profiler, profile_operators
from .supervisor_channel import Stopped, SupervisorChannel

_CHECK_EVERY_S = 0.5  # an idle run ends at most so long after it was requested to


def run_measurement(home: Home, run_id: str, messages: int, go: int) -> int:
    """Carry out the run's specification; return the exit status."""
    channel = SupervisorChannel(messages, go)
    try:
        spec = RunSpec.from_json(home.run(run_id).spec.read_bytes())
        _run(spec, home, channel)
        return 0
    except Stopped:
        channel.send(Failed("interrupted", "the measuring process was asked to end"))
    except BrokenPipeError:
        return 1  # the supervisor is gone: there is nobody to report to
    except Failure as failure:
        channel.send(Failed(failure.kind, one_line(str(failure)), _trace(), failure.model))
    except MemoryError:
        channel.send(Failed("out_of_memory", "there is not enough memory for the run", _trace()))
    except OSError as error:
        kind = "out_of_disk" if error.errno in DISK_FULL else "crashed"
        channel.send(Failed(kind, one_line(str(error)), _trace()))
    except Exception as error:  # noqa: BLE001 - the journal says how a run ended, whatever happens
        channel.send(Failed("crashed", one_line(f"{type(error).__name__}: {error}"), _trace()))
    return 1


def _trace() -> str:
    return traceback.format_exc()[-16_000:]


def _run(spec: RunSpec, home: Home, channel: SupervisorChannel) -> None:
    if spec.affinity:
        _pin_to(spec.affinity)
    found = describe(spec.runtime)
    channel.report_runtime(found.version, found.libraries)
    run = home.run(spec.run_id)
    if spec.mode == "idle":
        _idle(spec.min_duration_ns, channel)
        return
    channel.enter("loading")
    if spec.mode == "operators":
        _profile(spec, home, channel)
        return
    loaded = []
    for number, part in enumerate(spec.parts()):
        try:
            loaded.append(_load(part, number, run, channel, alternates=bool(spec.beside)))
        except Failure as rejected:
            rejected.model = number
            raise
    model, batches = loaded[0]
    try:
        if spec.mode == "infer":
            infer_all(spec, model, batches, run.outputs, channel)
        elif spec.mode == "load":
            infer_first(loaded, channel)
            channel.enter("finishing")
            channel.send(Done(0, 0))
        else:
            measure(spec, loaded, channel)
    except Exception as error:
        failure = model.explain(error)
        if failure is None:
            raise
        raise failure from error


def _pin_to(cores: List[int]) -> None:
    """Use these cores only. This comes before the runtime is imported, so that it holds for all its threads."""
    try:
        os.sched_setaffinity(0, cores)
    except OSError as error:
        raise Failure("refused", f"the board does not give us cores {cores}: {error.strerror}") from error
    got = sorted(os.sched_getaffinity(0))
    if got != sorted(set(cores)):
        raise Failure("refused", f"of cores {cores} the board gives us only {got}; some are off")


def _idle(duration_ns: int, channel: SupervisorChannel) -> None:
    """Do nothing, so that the sensors show the board's own load and power."""
    channel.enter("idle")
    until = time.monotonic_ns() + duration_ns
    while time.monotonic_ns() < until:
        time.sleep(min(_CHECK_EVERY_S, max(0.0, (until - time.monotonic_ns()) / 1e9)))
        channel.check()
    channel.enter("finishing")
    channel.send(Done(0, duration_ns))


def _profile(spec: RunSpec, home: Home, channel: SupervisorChannel) -> None:
    run = home.run(spec.run_id)
    profiler = open_profiler(
        spec.runtime, _path(spec, run), threads=spec.threads, providers=spec.providers, folder=run.path
    )
    model = profiler.model
    try:
        batches = Batches(spec, str(run.inputs()), model.inputs, model.lengths)
        profile_operators(profiler, batches, channel)
    except Exception as error:
        failure = model.explain(error)
        if failure is None:
            raise
        raise failure from error


def _path(spec: RunSpec, run: RunFolder, number: int = 0) -> str:
    """Return the path of the model file; empty for a runtime that needs none."""
    paths = run.model_paths(spec.model_files(), number)
    return str(paths[0]) if paths else ""


def _load(
    spec: RunSpec, number: int, run: RunFolder, channel: SupervisorChannel, *, alternates: bool
) -> Tuple[Model, Batches]:
    """Load one of the run's models, report it, and return it with its inputs."""
    path = _path(spec, run, number)
    began = time.monotonic_ns()
    model: Model = open_runtime(spec.runtime).load(
        path, threads=spec.threads, providers=spec.providers, alternates=alternates
    )
    load_ns = time.monotonic_ns() - began
    names = [tensor.name for tensor in model.inputs]
    notes = [one_line(note) for note in model.notes]
    lengths, rows = lengths_taken(model.inputs, model.lengths), rows_taken(model.inputs)
    channel.send(Loaded(load_ns, model.providers, model.nodes, names, model.outputs, notes, lengths, rows, number))
    return model, Batches(spec, str(run.inputs(number)), model.inputs, model.lengths)
