"""Before anything is measured: can this board run these artifacts? Then the files go there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from edgebench.artifact import Artifact, Format
from edgebench.board.agent import RemoteAgent
from edgebench.board.facts import busy_processes, sensors_of
from edgebench.device import Device
from edgebench.errors import BoardError
from edgebench.events import LogMessage, OnEvent, Pushing, ignore
from edgebench.facts import DeviceFacts
from edgebench.sensors import POWER
from edgebench_agent import protocol

_BUSY = 200  # thousandths of a core that another process may use before it is worth a word


def preflight(
    agent: RemoteAgent,
    device: Device,
    artifacts: Sequence[Artifact],
    on_event: OnEvent = ignore,
    *,
    runtime: str | None = None,
) -> dict[str, DeviceFacts]:
    """Make sure that the board, on which the agent is installed, can run these artifacts; return its facts by runtime.

    `runtime`: what .tflite files are to run in; None: whichever the board has.

    Raises:
        BoardError: a runtime doesn't work there, or a model is larger than the memory that is free.
    """
    runtimes = sorted({runtime_of(artifact, runtime) for artifact in artifacts})
    reply = agent.probe(runtimes)
    board: dict[str, Any] = reply["board"]
    for name in runtimes:
        found = reply["runtimes"][name]
        if not found["ok"]:
            problem = str(found.get("error"))
            if agent.may_be_set_up:
                problem = f"{problem.partition('; try: ')[0]}; try: edgebench device setup {device.name}"
            raise BoardError(f"{device.name}: {name} does not work on the board: {problem}")
    for artifact in artifacts:
        _require_provider(device, artifact, reply["runtimes"][runtime_of(artifact, runtime)].get("providers"))
    busy = [f"{name} {used / 1000:.1f} cores" for name, used in busy_processes(reply) or [] if used >= _BUSY]
    if busy:
        on_event(LogMessage(f"{device.name} is busy, which disturbs what is measured: {', '.join(busy)}"))
    available = board.get("memory_available_bytes")
    for artifact in artifacts:
        if type(available) is int and artifact.bytes > available:
            raise BoardError(
                f"{device.name}: the model is {artifact.bytes / 1e6:.0f} MB and the board has {available / 1e6:.0f} MB "
                f"of memory free; try a smaller format (--format onnx-int8) or free memory on the board"
            )
    return {
        name: DeviceFacts.from_json(
            {
                **reply["runtimes"][name]["board"],  # first: a board does not name itself
                "name": device.name,
                "profile": device.profile.name,
                "runtime": name,
                "runtime_version": reply["runtimes"][name].get("version"),
                "power_rails_ms": power_rails_ms(sensors_of(reply) or {}),
            }
        )
        for name in runtimes
    }


def power_rails_ms(sensors: Mapping[str, tuple[int, Mapping[str, int | None]]]) -> dict[str, int]:
    """Return every how many milliseconds a board's power is read, by rail; `sensors` as the agent tells of them."""
    return {
        name.removeprefix(POWER): every_ms
        for every_ms, values in sensors.values()
        for name in values
        if name.startswith(POWER)
    }


def runtime_of(artifact: Artifact, chosen: str | None) -> str:
    """Return the agent's name of the runtime for an artifact; `chosen` is what .tflite files are to run in."""
    return chosen if chosen is not None and artifact.format.runtime == "tflite" else artifact.format.runtime


def providers_for(device: Device, artifact: Artifact) -> list[str]:
    """Return the execution providers to ask for; empty: the CPU, the only one for TFLite and for dynamic int8."""
    on_cpu = artifact.format is Format.ONNX_INT8 or artifact.format.runtime == "tflite"
    return [] if on_cpu else list(device.profile.providers)


def _require_provider(device: Device, artifact: Artifact, has: Any) -> None:
    """Refuse before anything is measured what would run somewhere else than it should."""
    wanted = providers_for(device, artifact)
    if wanted and isinstance(has, list) and wanted[0] not in has:
        raise BoardError(
            f"{device.name}: the profile {device.profile.name} asks for {wanted[0]}, which the board's "
            f"{artifact.format.runtime} does not have (it has {', '.join(map(str, has))}); install a build with it "
            f"there, or measure on the CPU: --format onnx-int8, or the profile generic-linux"
        )


def push_artifact(agent: RemoteAgent, artifact: Artifact, on_event: OnEvent = ignore) -> None:
    """Bring an artifact's files to the board; nothing where it shares this machine's files."""
    if agent.transport.shares_files:
        return
    for file in artifact.files:
        agent.push(
            artifact.path / file.name,
            sha256=file.sha256,
            size=file.bytes,
            on_progress=lambda done, size, name=file.name: on_event(Pushing(name, done, size)),  # type: ignore[misc]
        )


def model_files(agent: RemoteAgent, artifact: Artifact) -> list[dict[str, Any]]:
    """Return an artifact's files as a run specification names them."""
    shared = agent.transport.shares_files
    return [
        asdict(
            protocol.ModelFile(file.name, file.sha256, str((artifact.path / file.name).absolute()) if shared else None)
        )
        for file in artifact.files
    ]
