"""Environments made on a board: wheels pushed, unpacked by the agent, tried, adopted where the numbers are right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from edgebench.board.agent import RemoteAgent
from edgebench.board.installed_runtimes import InstalledRuntime
from edgebench.device import Device
from edgebench.errors import AgentError, BoardError, ConnectionFailed, ConnectionLost, DeviceError, LeaseLost
from edgebench.events import LogMessage, OnEvent, Pushing
from edgebench.provision.already_served import problem
from edgebench.provision.checkup import Finding, State
from edgebench.provision.environments import BoardEnvironment
from edgebench.provision.trial import Trial, try_runtime
from edgebench.provision.wheels import Wheel, WheelFolder, unpacked_bytes, versions_of
from edgebench_agent import protocol

_SPARE_BYTES = 64 << 20  # left free on the board's disk for models and runs


class Installer:
    """Makes environments on one board, whose lease we hold, from the wheels of a folder."""

    def __init__(self, agent: RemoteAgent, device: Device, folder: WheelFolder, on_event: OnEvent) -> None:
        self._agent = agent
        self._device = device
        self._folder = folder
        self._on_event = on_event

    def require_room(self, new: Sequence[BoardEnvironment], free: Any) -> None:
        """Make sure that what is to come fits: wheels that are on the board already take no more room.

        `free`: bytes, as the board tells.

        Raises:
            BoardError.
        """
        if not new or type(free) is not int:
            return
        agent, name = self._agent, self._device.name
        asked = [agent.make_environment(one.spec(ask=True), python=agent.python) for one in new]
        absent = {sha256 for _, missing in asked for sha256 in missing}
        wheels = {wheel.sha256: wheel for one in new for wheel in one.wheels if wheel.sha256 in absent}
        needed = _SPARE_BYTES + sum(wheel.bytes for wheel in wheels.values())
        needed += sum(unpacked_bytes(self._folder.path(wheel)) for one in new for wheel in one.wheels)
        if free < needed:
            fewer = ", or take fewer, with --runtime" if len(new) > 1 else ""
            raise BoardError(
                f"{name}: {needed / 1e6:.0f} MB of disk are needed and {free / 1e6:.0f} MB are "
                f"free; free some (edgebench device clean {name} --max-size 0){fewer}"
            )

    @contextmanager
    def leaving_no_wheels(self, environments: Sequence[BoardEnvironment]) -> Iterator[None]:
        """Take the wheels of these environments off the board at the end, and environments that serve nothing.

        Several share some, and an interrupted setup may have left others. Where the board can't be reached, or is no
        longer ours, they stay: the next setup goes on with them.
        """
        wheels = sorted({wheel.sha256 for one in environments for wheel in one.wheels})
        try:
            yield
        except (KeyboardInterrupt, ConnectionFailed, ConnectionLost, LeaseLost):
            raise
        except BaseException:
            with suppress(DeviceError):  # why it failed is what is told
                self._agent.drop(wheels)
            raise
        if wheels:
            self._agent.drop(wheels)

    def make_and_try(self, environment: BoardEnvironment) -> Trial:
        """Make an environment on the board, and let it serve its runtime where that passes its trial there."""
        agent, runtime = self._agent, environment.runtime
        python = self._make(environment)
        packages = versions_of(environment.wheels)
        before = agent.served.get(runtime)
        agent.served[runtime] = InstalledRuntime(python, environment.name, packages, "")
        trial = self._try(runtime)
        if trial.passed:
            agent.adopt(
                protocol.Adoption(
                    runtime=runtime,
                    python=python,
                    environment=environment.name,
                    packages=packages,
                    agreement=trial.agreement,
                    own=environment.own,
                )
            )
        elif before is not None:
            agent.served[runtime] = before  # goes on as it was
        else:
            del agent.served[runtime]
        return trial

    def _try(self, runtime: str) -> Trial:
        found = self._agent.probe([runtime])["runtimes"][runtime]
        if found["ok"]:
            return try_runtime(self._agent, self._device, runtime, found, self._on_event)
        setup = f"edgebench device setup {self._device.name} --runtime {runtime} --wheel FILE"
        return Trial(False, "", Finding(runtime, problem(found), State.FAIL, f"a build for this board: {setup}"))

    def _make(self, environment: BoardEnvironment) -> str:
        """Make an environment on the board; return its interpreter."""
        agent, name = self._agent, self._device.name
        served = agent.served.get(environment.runtime)
        # What the table names and is made all the same does not work, whole as it may look.
        spec = environment.spec(anew=served is not None and served.environment == environment.name)
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
        def tell(done: int, size: int) -> None:
            self._on_event(Pushing(wheel.name, done, size))

        self._agent.push(self._folder.path(wheel), sha256=wheel.sha256, size=wheel.bytes, on_progress=tell)
