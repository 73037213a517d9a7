"""device setup: a bare board made ready. The board needs no internet, no root and no pip: all comes from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgebench.board.agent import RemoteAgent
from edgebench.board.installed_runtimes import InstalledRuntime
from edgebench.board.lease import board_lease
from edgebench.board.pythons import DEFAULT_PYTHON, BoardPython, find_pythons
from edgebench.board.transport import open_transport
from edgebench.device import Device
from edgebench.errors import BoardBusy, BoardError, ConfigError, NoWheelFits
from edgebench.events import OnEvent, ignore
from edgebench.provision.already_served import find_broken, intact_environment, is_kept, was_kept, was_there
from edgebench.provision.checkup import Finding, State
from edgebench.provision.environments import BoardEnvironment, EnvironmentChoice
from edgebench.provision.findings import board_findings
from edgebench.provision.install import Installer
from edgebench.provision.plan import SetupPlan
from edgebench.provision.system_python import use_system_python
from edgebench.text import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What was found and done; `served`: the runtimes that are ready, and by what."""

    device: str
    findings: tuple[Finding, ...]
    served: Mapping[str, InstalledRuntime] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        """Whether all that was asked for works."""
        return bool(self.served) and all(finding.state is not State.FAIL for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as `device setup --json` writes them."""
        return {
            "device": self.device,
            "ready": self.is_ready,
            "findings": [asdict(finding) | {"state": str(finding.state)} for finding in self.findings],
            "runtimes": {name: asdict(served) for name, served in self.served.items()},
        }


def set_up(device: Device, plan: SetupPlan, on_event: OnEvent = ignore) -> Setup:
    """Make a board ready for the runtimes of a plan; what is there already is left as it is.

    Raises:
        ConfigError: this device is not set up so, or a wheel of the user's does not fit it.
        BoardBusy: a run measures there, or somebody else still has the board.
        BoardError: no fitting Python or libc, no room, or the wheels can't be had.
        ConnectionFailed, ConnectionLost.
    """
    require_use(device)
    with open_transport(device) as transport:
        agent = RemoteAgent(transport, name=device.name, python=device.python)
        try:
            agent.install(inspect=True)
        except BoardError:
            _fitting(device, find_pythons(transport))  # says more, where the Pythons are why
            raise
        if (ready := _ready_already(agent, device, plan)) is not None:
            return ready  # looking needs no lease
        with board_lease(agent, device, purpose="device setup", wait_s=plan.wait_s, on_event=on_event):
            return _set_up(agent, device, plan, on_event)


def require_use(device: Device) -> None:
    """Make sure that what setup installs would be used on a device.

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


def _fitting(device: Device, pythons: Sequence[BoardPython]) -> list[BoardPython]:
    fitting = [python for python in pythons if python.is_new_enough]
    if not fitting:
        shown = ", ".join(python.shown for python in pythons)
        raise BoardError(
            f"{device.name}: the board has only Python {shown}, edgebench needs >= 3.8; install one beside it "
            f"(Ubuntu 18.04: sudo apt install python3.8), or take a newer system"
        )
    return fitting


def _ready_already(agent: RemoteAgent, device: Device, plan: SetupPlan) -> Setup | None:
    """Return what is there, if that is all that is wanted, for the board's `python3`; None where it is not.

    Nothing more is asked of the board than its agent's installation told: that every file of an environment which
    passed its trial there is as long as it was. A runtime that is named is imported, too: so `device check` tells to
    mend one that no longer works.
    """
    own = agent.base
    changes = plan.system_python or plan.wheels or plan.upgrade
    if own is None or changes or not agent.whole.issuperset(plan.wanted) or find_broken(agent, plan.runtimes):
        return None
    choice = EnvironmentChoice(device, plan, agent.system, [own])
    try:
        for name in plan.wanted:
            if not is_kept(agent, plan, name) and choice.environment(name).name != agent.served[name].environment:
                return None
    except BoardError:
        return None
    told = {name: printable(value) for name, value in agent.system.items() if isinstance(value, str)}
    findings = [
        Finding("board", told.get("arch", "not told")),
        Finding("Python", own.shown),
        Finding("libc", told.get("libc", "not told")),
        *(was_there(name, agent.served[name]) for name in plan.wanted),
    ]
    return Setup(device=device.name, findings=tuple(findings), served=dict(agent.served))


def _set_up(agent: RemoteAgent, device: Device, plan: SetupPlan, on_event: OnEvent) -> Setup:
    reply = agent.probe()
    if isinstance(reply.get("running"), str):
        raise BoardBusy(f"{device.name}: {printable(reply['running'])} is measuring; try again when it is done")
    own = [agent.base] if agent.base is not None else []
    if plan.system_python:
        findings = list(board_findings(reply["board"], own))
        findings += [use_system_python(agent, device, name, on_event) for name in plan.wanted]
    else:
        pythons = _fitting(device, find_pythons(agent.transport))
        findings = list(board_findings(reply["board"], pythons))
        findings += _install(agent, EnvironmentChoice(device, plan, reply["board"], pythons), on_event)
    return Setup(device=device.name, findings=tuple(findings), served=dict(agent.served))


def _install(agent: RemoteAgent, choice: EnvironmentChoice, on_event: OnEvent) -> list[Finding]:
    wanted = list(choice.wanted())
    broken = find_broken(agent, [runtime for runtime, _ in wanted])
    environments, findings = _decide(agent, choice, wanted, broken)
    there = [intact_environment(agent, one) if one.runtime not in broken else None for one in environments]
    new = [one for one, served in zip(environments, there, strict=True) if served is None]
    installer = Installer(agent, choice.device, choice.folder, on_event)
    installer.require_room(new, choice.board.get("disk_free_bytes"))
    with installer.leaving_no_wheels(environments if new else []):
        for one, served in zip(environments, there, strict=True):
            if served is not None:
                findings.append(was_there(one.runtime, served))
            else:
                findings.append(installer.make_and_try(one).finding)
    return findings


def _decide(
    agent: RemoteAgent,
    choice: EnvironmentChoice,
    wanted: Sequence[tuple[str, tuple[Path, ...]]],
    broken: Mapping[str, str],
) -> tuple[list[BoardEnvironment], list[Finding]]:
    """Return the environments that are to be there in the end, and what to say of runtimes that get none.

    Raises:
        BoardError: the wheels of a runtime that is named can't be had; or none at all, and nothing is served.
    """
    device, asked = choice.device, choice.plan.runtimes
    findings: list[Finding] = []
    environments: list[BoardEnvironment] = []
    refused: list[BoardError] = []
    for runtime, own in wanted:
        if not own and is_kept(agent, choice.plan, runtime):
            findings.append(was_kept(agent, device, runtime, broken.get(runtime)))
            continue
        try:
            environments.append(choice.environment(runtime, own))
        except NoWheelFits as none:
            findings.append(_no_wheel(device, none, runtime, is_asked=runtime in asked))
        except BoardError as error:
            if runtime in asked or own:
                raise
            refused.append(error)
            findings.append(_not_had(agent, runtime, broken, error))
    if refused and not environments and not agent.served:
        raise refused[0]
    return environments, findings


def _no_wheel(device: Device, none: NoWheelFits, runtime: str, *, is_asked: bool) -> Finding:
    seen = str(none).removeprefix(f"{runtime}: ")
    if not is_asked:
        return Finding(runtime, seen, State.WARN)
    own = f"edgebench device setup {device.name} --runtime {runtime} --wheel FILE"
    return Finding(runtime, seen, State.FAIL, f"another system on the board, or a build of your own: {own}")


def _not_had(agent: RemoteAgent, runtime: str, broken: Mapping[str, str], error: BoardError) -> Finding:
    """Return what to say of a runtime that nobody named and whose wheels can't be had now."""
    if runtime in agent.served and runtime not in broken:
        return was_there(runtime, agent.served[runtime])
    return Finding(runtime, str(error).removeprefix(f"{runtime}: "), State.WARN, "see the message")
