"""Before anything is measured: can this board run these artifacts? And how their files get there."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from edgebench.artifact import Artifact, Format
from edgebench.board.agent import RemoteAgent
from edgebench.board.facts import BoardProbe, RuntimeProbe, SensorReading
from edgebench.device import Device
from edgebench.errors import BoardError
from edgebench.events import LogMessage, OnEvent, Pushing, ignore
from edgebench.facts import DeviceFacts
from edgebench.runtimes import is_older, why_not_computed
from edgebench.sensors import POWER
from edgebench_agent import protocol

_BUSY_MILLICORES = 200  # a process that uses less disturbs no measurement enough for a message


def preflight(
    agent: RemoteAgent,
    device: Device,
    artifacts: Sequence[Artifact],
    on_event: OnEvent = ignore,
    *,
    runtime: str | None = None,
) -> dict[str, DeviceFacts]:
    """Make sure that a board can run these artifacts; return the facts that are stored with results, by runtime.

    `runtime`: the one for .tflite files; None: whichever the board has.

    Raises:
        BoardError: a runtime or provider does not work there or can't compute a file, or a model is larger than the
            free memory.
    """
    runtimes = sorted({runtime_of(artifact, runtime) for artifact in artifacts})
    probe = agent.probe(runtimes)
    for name in runtimes:
        _require_runtime(agent, device, name, probe.runtimes[name])
    for artifact in artifacts:
        _require_scales(device, artifact, probe.runtimes[runtime_of(artifact, runtime)])
        _require_operators(device, artifact, probe.runtimes[runtime_of(artifact, runtime)])
        _require_provider(device, artifact, probe.runtimes[runtime_of(artifact, runtime)])
    _report_load(device, probe, on_event)
    for artifact in artifacts:
        _require_memory(device, artifact, probe.board.memory_available_bytes)
    return {name: _stored_facts(device, name, probe) for name in runtimes}


def _require_runtime(agent: RemoteAgent, device: Device, runtime: str, found: RuntimeProbe) -> None:
    if found.works:
        return
    problem = str(found.error)
    if agent.installed.may_be_set_up:
        problem = f"{found.problem}; try: edgebench device setup {device.name}"
    raise BoardError(f"{device.name}: {runtime} does not work on the board: {problem}")


def _require_scales(device: Device, artifact: Artifact, found: RuntimeProbe) -> None:
    """Refuse a file that the board's runtime loads, and answers nonsense on without a message."""
    library = found.library
    reason = why_not_computed(library, artifact.weight_scales) if library is not None else None
    if reason is not None:
        raise BoardError(
            f"{device.name}: {artifact.model_path} would be computed wrong: {reason}",
            hint=f"try `format='{Format.TFLITE_INT8_PER_TENSOR}'` of the checkpoint, or ai-edge-litert on the board: "
            f"edgebench device setup {shlex.quote(device.name)} --runtime ai-edge-litert",
        )


def _require_operators(device: Device, artifact: Artifact, found: RuntimeProbe) -> None:
    """Refuse a file whose operators the board's runtime does not have yet, before it is pushed."""
    for operator, since in artifact.operators_since.items():
        if found.version is not None and is_older(found.version, since):
            raise BoardError(
                f"{device.name}: {artifact.model_path} uses {operator}, which onnxruntime has since {since}, and the "
                f"board has {found.version}",
                hint=f"install onnxruntime {since} or later there, or export the checkpoint: `format='onnx-int4'` "
                "needs no such operator",
            )


def _require_provider(device: Device, artifact: Artifact, found: RuntimeProbe) -> None:
    """Refuse before anything is measured what would run on another provider than it should."""
    wanted = providers_for(device, artifact)
    if wanted and found.providers is not None and wanted[0] not in found.providers:
        raise BoardError(
            f"{device.name}: the profile {device.profile.name} asks for {wanted[0]}, which the board's "
            f"{artifact.format.runtime} does not have (it has {', '.join(found.providers)})",
            hint="install a build with it there, or measure on the CPU: `format='onnx-int8'`, or the profile "
            "generic-linux",
        )


def _report_load(device: Device, probe: BoardProbe, on_event: OnEvent) -> None:
    load = probe.load
    busy = tuple(process for process in load.busiest or () if process.cpu_millicores >= _BUSY_MILLICORES)
    listed = replace(load, busiest=busy).processes
    if not listed and (load.others_millicores or 0) >= _BUSY_MILLICORES:
        visible = sum(process.cpu_millicores for process in load.busiest or ())
        unseen = (load.others_millicores or 0) - visible
        seen = load.processes if visible >= unseen else None
        listed = seen or f"{unseen / 1000:.2f} cores of processes that are not visible there"
    if (load.stolen_millicores or 0) >= _BUSY_MILLICORES:
        stolen = f"{(load.stolen_millicores or 0) / 1000:.2f} cores of other machines (steal)"
        listed = f"{listed}, {stolen}" if listed else stolen
    if listed:
        on_event(LogMessage(f"{device.name} is busy, which disturbs measurements: {listed}"))


def _require_memory(device: Device, artifact: Artifact, available: int | None) -> None:
    if available is not None and artifact.bytes > available:
        smaller = Format.ONNX_INT4 if artifact.format is Format.ONNX_INT8 else Format.ONNX_INT8
        raise BoardError(
            f"{device.name}: the model is {artifact.bytes / 1e6:.0f} MB and the board has {available / 1e6:.0f} MB "
            f"of memory free",
            hint=f"try a smaller format (`format='{smaller}'`) or free memory on the board",
        )


def _stored_facts(device: Device, runtime: str, probe: BoardProbe) -> DeviceFacts:
    found = probe.runtimes[runtime]
    return DeviceFacts.from_json(
        {
            **found.board.reported,  # first: a board does not name itself
            "name": device.name,
            "profile": device.profile.name,
            "runtime": runtime,
            "runtime_version": found.version,
            "power_rails_ms": power_rails_ms(probe.sensors or {}),
        }
    )


def power_rails_ms(sensors: Mapping[str, SensorReading]) -> dict[str, int]:
    """Return the interval in milliseconds at which a board's power is read, by rail."""
    return {
        series.removeprefix(POWER): sensor.every_ms
        for sensor in sensors.values()
        for series in sensor.values
        if series.startswith(POWER)
    }


def runtime_of(artifact: Artifact, chosen: str | None) -> str:
    """Return the agent's name of the runtime for an artifact; `chosen` is the one for .tflite files."""
    return chosen if chosen is not None and artifact.format.runtime == "tflite" else artifact.format.runtime


def providers_for(device: Device, artifact: Artifact) -> list[str]:
    """Return the execution providers to ask for; empty: the CPU, the only one for TFLite and for dynamic int8."""
    on_cpu = artifact.format in (Format.ONNX_INT8, Format.ONNX_INT4) or artifact.format.runtime == "tflite"
    return [] if on_cpu else list(device.profile.providers)


def push_artifact(agent: RemoteAgent, artifact: Artifact, on_event: OnEvent = ignore) -> None:
    """Bring an artifact's files to the board; nothing is moved where the board is this machine."""
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
