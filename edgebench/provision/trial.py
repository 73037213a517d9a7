"""Trying a runtime on a board: a tiny model is run there and here, and the numbers must be the same.

A build for another processor can die of an illegal instruction, or compute something else without a word.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from edgebench.artifact import Artifact, Format
from edgebench.board import BusyRetry, RemoteAgent, RuntimeProbe, connect_agent, providers_for, push_artifact
from edgebench.device import Device, find_device
from edgebench.errors import BoardBusy, BoardError, EdgebenchError, MissingExtra, RunFailed
from edgebench.evaluation import BoardModel, Outputs
from edgebench.events import LogMessage, OnEvent, ignore
from edgebench.export import BOUNDS, Bound, export_model
from edgebench.measure import resolve_workload
from edgebench.provision.findings import UNKNOWN, Finding, State
from edgebench.runtimes import RUNTIMES
from edgebench.workload import EncodedInputs, Workload, random_inputs

TRIAL_MODEL = "reference:tiny"
_TOKENS = (5, 17, 32)
#: Kinds of failures that the build of a runtime is to blame for.
_BUILD_FAILURES = (
    "killed",
    "runtime_missing",
    "runtime_broken",
    "model_rejected",
    "inputs_rejected",
    "outputs_rejected",
    "stuck",
    "crashed",
)
#: One thread at a time runs the trial here: this machine measures one run at a time, like any board.
_HERE_ALONE = threading.Lock()
_ANSWERED_HERE: dict[tuple[str, Format], list[Outputs]] = {}


@dataclass(frozen=True, slots=True)
class Trial:
    """What a runtime did on a board: whether it may be used, how close its numbers are to ours, and what was seen."""

    passed: bool
    agreement: str
    finding: Finding


def try_runtime(
    agent: RemoteAgent,
    device: Device,
    runtime: str,
    found: RuntimeProbe,
    on_event: OnEvent,
    *,
    expect: Callable[[str, Format], list[Outputs]] | None = None,
) -> Trial:
    """Run the trial's models in a runtime that imports on the board (`found`).

    Args:
        expect: returns the outputs that the runtime should have in a format; default: those on this machine.

    Raises:
        DeviceError: the trial says nothing about the runtime: the board is lost, unreachable, full ...
    """
    version = found.version or UNKNOWN
    expect = expect or partial(expected_here, on_event=on_event)
    distances = []
    for format in RUNTIMES[runtime].trial_formats:
        try:
            wanted = expect(runtime, format)
        except BoardBusy:
            raise  # this machine is measured just now: the trial can be repeated later
        except (MissingExtra, BoardError) as error:
            seen = f"{version}; its numbers could not be compared: {error}"
            return Trial(True, "not compared", Finding(runtime, seen, State.WARN, "see the message"))
        on_event(LogMessage(f"{device.name}: trying {runtime} in {format}"))
        try:
            answers = _answers(agent, device, format, runtime, has=found.providers or ())
        except (RunFailed, BoardError) as error:
            if error.kind not in _BUILD_FAILURES:
                raise
            reason = str(error).removeprefix(f"{device.name}: ")
            return _failed(device, runtime, f"{version} fails in {format}: {reason}")
        distance = distance_between(wanted, answers)
        if not distance.is_within(BOUNDS[format]):
            return _failed(device, runtime, f"{version} computes wrong numbers in {format}: {distance.shown}")
        distances.append(f"{format} {distance.shown}")
    agreement = f"as here: {', '.join(distances)}"
    return Trial(True, agreement, Finding(runtime, f"{version}; numbers {agreement}"))


def _failed(device: Device, runtime: str, seen: str) -> Trial:
    setup = f"edgebench device setup {device.name} --runtime {runtime}"
    fix = f"a build for this processor: {setup} --wheel FILE, or {setup} --system-python"
    return Trial(False, "", Finding(runtime, seen, State.FAIL, fix))


@dataclass(frozen=True, slots=True)
class Distance:
    """How far two lists of outputs are apart; infinite where they can't be compared."""

    max_abs_diff: float
    cosine: float

    def is_within(self, bound: Bound) -> bool:
        """Whether a format may differ so much."""
        return self.max_abs_diff <= bound.max_abs_diff and self.cosine >= bound.mean_cosine

    @property
    def shown(self) -> str:
        """The distance in words."""
        return f"within {self.max_abs_diff:.1g}, cosine {self.cosine:.4f}"


def distance_between(wanted: list[Outputs], answers: list[Outputs]) -> Distance:
    """Return the largest difference, and the smallest cosine of an example's outputs, over all examples."""
    import numpy as np

    differences, cosines = [0.0], [1.0]
    if len(wanted) != len(answers):
        return Distance(float("inf"), 0.0)
    for ours, theirs in zip(wanted, answers, strict=True):
        for name, values in ours.items():
            other = theirs.get(name)
            if other is None or other.shape != values.shape or not np.isfinite(other).all():
                return Distance(float("inf"), 0.0)
            a, b = values.astype(np.float64).ravel(), other.astype(np.float64).ravel()
            differences.append(float(np.abs(a - b).max(initial=0.0)))
            length = float(np.linalg.norm(a) * np.linalg.norm(b))
            cosines.append(min(1.0, float(a @ b) / length) if length else float(not a.any() and not b.any()))
    return Distance(max(differences), min(cosines))


def expected_here(runtime: str, format: Format, on_event: OnEvent = ignore) -> list[Outputs]:
    """Return the outputs of a runtime on this machine, run once: several boards may be set up at a time.

    Raises:
        BoardBusy: this machine was measured for ten minutes on end.
        MissingExtra, BoardError: this machine can't export the model, or has no such runtime.
    """
    with _HERE_ALONE:
        name = RUNTIMES[runtime].reference
        if (name, format) not in _ANSWERED_HERE:
            _ANSWERED_HERE[name, format] = _answer_here(name, format, on_event)
        return _ANSWERED_HERE[name, format]


def _answer_here(runtime: str, format: Format, on_event: OnEvent) -> list[Outputs]:
    here = find_device("local")
    with connect_agent(here, busy_retry=BusyRetry(on_event=on_event)) as agent:
        try:
            return _answers(agent, here, format, runtime, has=())
        except (MissingExtra, BoardError):
            raise
        except EdgebenchError as error:
            raise BoardError(f"this machine can't run {TRIAL_MODEL} in {format}: {error}") from error


def _answers(agent: RemoteAgent, device: Device, format: Format, runtime: str, *, has: Sequence[str]) -> list[Outputs]:
    artifact = export_model(TRIAL_MODEL, format).artifact
    inputs = trial_inputs(artifact)
    push_artifact(agent, artifact)
    providers = [name for name in providers_for(device, artifact) if name in has]
    workload = resolve_workload(artifact, Workload(seq_len=max(_TOKENS), threads=1))
    board = BoardModel(agent=agent, artifact=artifact, providers=providers, runtime=runtime)
    return board.infer(workload, inputs).batches


def trial_inputs(artifact: Artifact) -> EncodedInputs:
    """Return the same inputs at every call."""
    return random_inputs(list(_TOKENS), vocab_size=artifact.vocab_size)
