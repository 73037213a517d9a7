"""A bare board made ready for measurements: it needs no internet, no root and no pip, all comes from this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgebench.board import (
    DEFAULT_PYTHON,
    BusyRetry,
    InstalledRuntime,
    RemoteAgent,
    board_lease,
    connect_agent,
    find_pythons,
    require_new_enough,
)
from edgebench.device import Device
from edgebench.errors import BoardBusy, BoardError, ConfigError, LeaseLost
from edgebench.events import LogMessage, OnEvent, ignore
from edgebench.measure import TFLITE_RUNTIMES
from edgebench.provision.environments import EnvironmentChoice
from edgebench.provision.findings import (
    Finding,
    State,
    as_error,
    board_findings,
    find_broken,
    own_choice_finding,
    present_finding,
    system_findings,
)
from edgebench.provision.install import install_runtimes, is_own_choice
from edgebench.provision.plan import SetupPlan
from edgebench.provision.system_python import use_system_python
from edgebench.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What was found and done; `runtimes`: those that are ready, by name."""

    device: str
    findings: tuple[Finding, ...]
    runtimes: Mapping[str, InstalledRuntime] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        """Whether everything that the plan wanted works."""
        return bool(self.runtimes) and all(finding.state is not State.FAIL for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as `device setup --json` writes them."""
        return {
            "device": self.device,
            "ready": self.is_ready,
            "findings": [finding.to_json() for finding in self.findings],
            "runtimes": {name: asdict(installed) for name, installed in self.runtimes.items()},
        }


def set_up_device(device: Device, plan: SetupPlan | None = None, on_event: OnEvent = ignore) -> Setup:
    """Make a board ready for the runtimes of a plan; what is installed already and works is left as it is.

    Args:
        plan: what to install; default: all runtimes that have wheels for the board.
        on_event: receives progress, see `edgebench.events`.

    Returns:
        What was found and done; `is_ready` says whether everything works.

    Raises:
        ConfigError: such a device is not set up, or a wheel of the user's does not fit it.
        BoardBusy: a run is measured there, or somebody else still holds the board after the plan's `wait_s`.
        BoardError: no fitting Python or libc, no room, or the wheels can't be had.
        ConnectionFailed, ConnectionLost.
    """
    plan = plan or SetupPlan()
    require_use(device)
    with connect_agent(device, inspect=True, busy_retry=BusyRetry(on_event=on_event)) as agent:
        if (ready := _ready_already(agent, device, plan)) is not None:
            return ready  # reading needs no lease
        with board_lease(agent, device, purpose="device setup", wait_s=plan.wait_s, on_event=on_event):
            return _set_up(agent, device, plan, on_event)


def require_use(device: Device) -> None:
    """Make sure that the runtimes that setup installs would be used on a device.

    Raises:
        ConfigError: it is this machine, or its Python is chosen in edgebench.toml.
    """
    if device.is_local:
        raise ConfigError("local is this machine: its runtimes are installed with pip install 'edgebench[local]'")
    if device.python != DEFAULT_PYTHON:
        raise ConfigError(
            f"{device.name}: edgebench.toml says python = {device.python!r}, which is used instead of what setup "
            f"installs; take that line out and try again, or check that Python: edgebench device check {device.name}"
        )


def _ready_already(agent: RemoteAgent, device: Device, plan: SetupPlan) -> Setup | None:
    """Return the runtimes of a plan, if all are installed for the board's `python3`; None where one is not.

    The board is asked for little more than its agent's installation reported: that every file of an environment that
    passed its trial there has its full length. A runtime that the plan names is also imported, because `device check`
    advises to name one that no longer works.
    """
    python, installed = agent.installed.base_python, agent.installed_runtimes
    if python is None or plan.system_python or plan.wheels or plan.upgrade:
        return None
    if not agent.installed.intact.issuperset(plan.wanted) or find_broken(agent, plan.runtimes):
        return None
    choice = EnvironmentChoice(device, plan, agent.installed.system, [python])
    try:
        for name in plan.wanted:
            if not is_own_choice(agent, plan, name) and choice.environment(name).name != installed[name].environment:
                return None
    except BoardError:
        return None
    findings = system_findings(agent.installed.system, python)
    findings += [present_finding(name, installed[name]) for name in plan.wanted]
    return Setup(device=device.name, findings=tuple(findings), runtimes=dict(installed))


def _set_up(agent: RemoteAgent, device: Device, plan: SetupPlan, on_event: OnEvent) -> Setup:
    probe = agent.probe()
    if probe.running is not None:
        raise BoardBusy(f"{device.name}: {probe.running} is measuring; try again when it is done")
    runtimes = dict(agent.installed_runtimes)
    if plan.system_python:
        base = agent.installed.base_python
        findings = list(board_findings(probe.board, [base] if base is not None else []))
        for name in plan.wanted:
            finding, adopted = use_system_python(agent, device, name, on_event)
            findings.append(finding)
            if adopted is not None:
                runtimes[name] = adopted
    else:
        pythons = require_new_enough(find_pythons(agent.transport), name=device.name)
        findings = list(board_findings(probe.board, pythons))
        choice = EnvironmentChoice(device, plan, probe.board.system, pythons)
        done, runtimes = install_runtimes(agent, choice, probe.board.disk_free_bytes, on_event)
        findings += done
    return Setup(device=device.name, findings=tuple(findings), runtimes=runtimes)


# --- for one request --------------------------------------------------------------------------------------------


def set_up_for(request: Request, on_event: OnEvent = ignore) -> None:
    """Make a request's board ready for what it measures, and for no more: `profile --setup`.

    A runtime that is installed already is taken as it is, and needs no package index. Of TFLite's runtimes the first
    that fits the board is taken, unless the request names one.

    Raises:
        EdgebenchError: as `set_up_device`; or a runtime that is needed does not work there.
    """
    require_use(request.device)
    formats = {format.runtime for format in request.formats or (request.device.profile.default_format,)}
    of_files = {".onnx": {"onnxruntime"}, ".tflite": {"tflite"}}
    kinds = {kind for model in request.models for kind in of_files.get(Path(model).suffix, formats)}
    for kind in sorted(kinds):
        of_tflite = (request.runtime,) if request.runtime is not None else TFLITE_RUNTIMES
        _set_up_one_of(request, of_tflite if kind == "tflite" else (kind,), on_event)


def _set_up_one_of(request: Request, runtimes: Sequence[str], on_event: OnEvent) -> None:
    """Make sure that a board has the first of some runtimes that works there."""
    device = request.device
    with connect_agent(device) as agent:
        used = [name for name in runtimes if name in agent.installed_runtimes][:1]  # as `python_for` picks it
        broken = find_broken(agent, used)
        if used and not broken:
            return
        if used and agent.installed_runtimes[used[0]].own:
            # What the user chose is not replaced unless the user names it.
            raise as_error(device, own_choice_finding(agent, device, used[0], broken))
    order = list(dict.fromkeys([*used, *runtimes]))
    for name in order:
        try:
            _set_up_alone(request, name, on_event)
            return
        except (BoardBusy, LeaseLost):
            raise
        except BoardError as error:
            if name == order[-1]:
                raise
            on_event(LogMessage(str(error)))


def _set_up_alone(request: Request, runtime: str, on_event: OnEvent) -> None:
    """Make sure that a board has one runtime.

    Raises:
        BoardError: it can't be had, or does not work there.
    """
    device = request.device
    findings = set_up_device(device, SetupPlan(runtimes=(runtime,), wait_s=request.wait_s), on_event).findings
    failed = next((finding for finding in findings if finding.state is State.FAIL), None)
    if failed is not None:
        raise as_error(device, failed)
