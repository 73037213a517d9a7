"""Environments made on a board: wheels pushed, unpacked by the agent, tried, adopted where the numbers are right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edgebench.board import InstalledRuntime, RemoteAgent
from edgebench.device import Device
from edgebench.errors import (
    AgentError,
    BoardError,
    ConnectionFailed,
    ConnectionLost,
    DeviceError,
    LeaseLost,
    NoWheelFits,
)
from edgebench.events import LogMessage, OnEvent, Pushing
from edgebench.provision.environments import BoardEnvironment, EnvironmentChoice
from edgebench.provision.findings import Finding, State, find_broken, own_choice_finding, present_finding
from edgebench.provision.plan import SetupPlan
from edgebench.provision.trial import Trial, try_runtime
from edgebench.provision.wheels import Wheel, WheelFolder, unpacked_bytes, versions_of
from edgebench_agent import protocol

_SPARE_BYTES = 64 << 20  # left free on the board's disk for models and runs


def install_runtimes(
    agent: RemoteAgent, choice: EnvironmentChoice, disk_free_bytes: int | None, on_event: OnEvent
) -> tuple[list[Finding], dict[str, InstalledRuntime]]:
    """Make the environments of a plan on a board whose lease we hold, unless they are there.

    Returns: what was found and done, and the runtimes that are installed then.

    Raises:
        ConfigError: a wheel of the user's does not fit the board.
        BoardError: there is no room, or wheels that are needed can't be had.
    """
    wanted = list(choice.wanted())
    broken = find_broken(agent, [runtime for runtime, _ in wanted])
    environments, findings = _decide(agent, choice, wanted, broken)
    present = [intact_environment(agent, one) if one.runtime not in broken else None for one in environments]
    new = [one for one, installed in zip(environments, present, strict=True) if installed is None]
    installer = _Installer(agent, choice.device, choice.folder, on_event)
    installer.require_room(new, disk_free_bytes)
    runtimes = dict(agent.installed_runtimes)
    with installer.leaving_no_wheels(environments if new else []):
        for one, installed in zip(environments, present, strict=True):
            if installed is not None:
                findings.append(present_finding(one.runtime, installed))
                continue
            trial, adopted = installer.make_and_try(one)
            findings.append(trial.finding)
            if adopted is not None:
                runtimes[one.runtime] = adopted
    return findings, runtimes


def is_own_choice(agent: RemoteAgent, plan: SetupPlan, runtime: str) -> bool:
    """Whether the user chose what a runtime is installed from: only to name the runtime, or to upgrade, changes it."""
    installed = agent.installed_runtimes.get(runtime)
    return installed is not None and installed.own and runtime not in plan.runtimes and not plan.upgrade


def intact_environment(agent: RemoteAgent, environment: BoardEnvironment) -> InstalledRuntime | None:
    """Return the installed runtime, if its environment is this very one and no file of it is cut short."""
    installed = agent.installed_runtimes.get(environment.runtime)
    if installed is None or installed.environment != environment.name:
        return None
    python, _ = agent.make_environment(environment.spec(dry_run=True), python=environment.python.path)
    return installed if python is not None else None


# --- what to install --------------------------------------------------------------------------------------------


def _decide(
    agent: RemoteAgent,
    choice: EnvironmentChoice,
    wanted: Sequence[tuple[str, tuple[Path, ...]]],
    broken: Mapping[str, str],
) -> tuple[list[BoardEnvironment], list[Finding]]:
    """Return the environments that the board is to have, and findings about runtimes that get none.

    Raises:
        BoardError: the wheels of a runtime that is named can't be had; or none at all, and nothing is installed.
    """
    device, named = choice.device, choice.plan.runtimes
    findings: list[Finding] = []
    environments: list[BoardEnvironment] = []
    refused: list[BoardError] = []
    for runtime, own in wanted:
        if not own and is_own_choice(agent, choice.plan, runtime):
            findings.append(own_choice_finding(agent, device, runtime, broken))
            continue
        try:
            environments.append(choice.environment(runtime, own))
        except NoWheelFits as none:
            findings.append(_no_wheel(device, none, runtime, is_named=runtime in named))
        except BoardError as error:
            if runtime in named or own:
                raise
            refused.append(error)
            findings.append(_unavailable(agent, runtime, broken, error))
    if refused and not environments and not agent.installed_runtimes:
        raise refused[0]
    return environments, findings


def _no_wheel(device: Device, none: NoWheelFits, runtime: str, *, is_named: bool) -> Finding:
    seen = str(none).removeprefix(f"{runtime}: ")
    if not is_named:
        return Finding(runtime, seen, State.WARN)
    own = f"edgebench device setup {device.name} --runtime {runtime} --wheel FILE"
    return Finding(runtime, seen, State.FAIL, f"another system on the board, or a build of your own: {own}")


def _unavailable(agent: RemoteAgent, runtime: str, broken: Mapping[str, str], error: BoardError) -> Finding:
    """Return the finding about a runtime that was not named and whose wheels can't be had now."""
    if runtime in agent.installed_runtimes and runtime not in broken:
        return present_finding(runtime, agent.installed_runtimes[runtime])
    return Finding(runtime, str(error).removeprefix(f"{runtime}: "), State.WARN, "see the message")


# --- installing it ----------------------------------------------------------------------------------------------


class _Installer:
    """Makes environments on one board, whose lease we hold, from the wheels of a folder."""

    def __init__(self, agent: RemoteAgent, device: Device, folder: WheelFolder, on_event: OnEvent) -> None:
        self._agent = agent
        self._device = device
        self._folder = folder
        self._on_event = on_event

    def require_room(self, new: Sequence[BoardEnvironment], free: int | None) -> None:
        """Make sure that what is to come fits; wheels that are on the board already take no more room.

        `free`: bytes; None: unknown.

        Raises:
            BoardError.
        """
        if not new or free is None:
            return
        agent, name = self._agent, self._device.name
        replies = [agent.make_environment(one.spec(dry_run=True), python=agent.python) for one in new]
        absent = {sha256 for _, missing in replies for sha256 in missing}
        wheels = {wheel.sha256: wheel for one in new for wheel in one.wheels if wheel.sha256 in absent}
        needed = _SPARE_BYTES + sum(wheel.bytes for wheel in wheels.values())
        needed += sum(unpacked_bytes(self._folder.path(wheel)) for one in new for wheel in one.wheels)
        if free < needed:
            fewer = ", or install fewer with `runtimes`" if len(new) > 1 else ""
            raise BoardError(
                f"{name}: {needed / 1e6:.0f} MB of disk are needed and {free / 1e6:.0f} MB are free",
                hint=f"free some (edgebench device clean {name} --max-size 0){fewer}",
            )

    @contextmanager
    def leaving_no_wheels(self, environments: Sequence[BoardEnvironment]) -> Iterator[None]:
        """Remove the wheels of these environments from the board at the end, and environments that no runtime uses.

        Not before the end: environments share wheels, and an interrupted setup may have left others. Where the board
        can't be reached, or is somebody else's by now, they stay: the next setup goes on with them.
        """
        wheels = sorted({wheel.sha256 for one in environments for wheel in one.wheels})
        try:
            yield
        except (KeyboardInterrupt, ConnectionFailed, ConnectionLost, LeaseLost):
            raise
        except BaseException:
            with suppress(DeviceError):  # the error on its way matters more
                self._agent.drop(wheels)
            raise
        if wheels:
            self._agent.drop(wheels)

    def make_and_try(self, environment: BoardEnvironment) -> tuple[Trial, InstalledRuntime | None]:
        """Make an environment on the board, and have the board use it if it passes its trial there."""
        agent, runtime = self._agent, environment.runtime
        python = self._make(environment)
        packages = versions_of(environment.wheels)
        candidate = InstalledRuntime(python, environment.name, packages, agreement="")
        trial = self._try(agent.with_runtimes({**agent.installed_runtimes, runtime: candidate}), runtime)
        if not trial.passed:
            return trial, None
        adoption = protocol.Adoption(
            runtime=runtime,
            python=python,
            environment=environment.name,
            packages=packages,
            agreement=trial.agreement,
            own=environment.own,
        )
        return trial, agent.adopt(adoption)

    def _try(self, agent: RemoteAgent, runtime: str) -> Trial:
        found = agent.probe([runtime]).runtimes[runtime]
        if found.works:
            return try_runtime(agent, self._device, runtime, found, self._on_event)
        setup = f"edgebench device setup {self._device.name} --runtime {runtime} --wheel FILE"
        return Trial(False, "", Finding(runtime, found.problem, State.FAIL, f"a build for this board: {setup}"))

    def _make(self, environment: BoardEnvironment) -> str:
        """Make an environment on the board; return its interpreter."""
        agent, name = self._agent, self._device.name
        installed = agent.installed_runtimes.get(environment.runtime)
        # An environment that is installed and is made nevertheless does not work, intact as it may look.
        spec = environment.spec(force=installed is not None and installed.environment == environment.name)
        python, missing = agent.make_environment(spec, python=environment.python.path)
        if python is not None:
            return python
        for wheel in environment.wheels:
            if wheel.sha256 in missing:
                self._push(wheel)
        self._on_event(LogMessage(f"{name}: installing {environment.runtime} for Python {environment.python.shown}"))
        python, missing = agent.make_environment(spec, python=environment.python.path)
        if python is None:
            raise AgentError(f"{name}: {len(missing)} wheels went missing on the board; is it being cleaned?")
        return python

    def _push(self, wheel: Wheel) -> None:
        self._agent.push(
            self._folder.path(wheel),
            sha256=wheel.sha256,
            size=wheel.bytes,
            on_progress=lambda done, size: self._on_event(Pushing(wheel.name, done, size)),
        )
