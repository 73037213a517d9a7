"""Which environment a board gets for a runtime: one of its Pythons, and the wheels that fit that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgebench.board import BoardPython, SystemFacts
from edgebench.device import Device
from edgebench.errors import ConfigError, NoWheelFits
from edgebench.export import cache_folder
from edgebench.provision.plan import SetupPlan
from edgebench.provision.wheel_targets import Target, check_wheel, runtime_of_package, target_of
from edgebench.provision.wheels import Wheel, WheelFolder
from edgebench_agent import protocol


@dataclass(frozen=True, slots=True)
class BoardEnvironment:
    """An environment that a board is to have: the Python it is for, the wheels in it, and a name made of both."""

    runtime: str
    python: BoardPython
    wheels: tuple[Wheel, ...]
    own: bool  # it has a wheel of the user's

    @property
    def name(self) -> str:
        """A hash of what it is made of."""
        text = json.dumps([self.python.path, self.python.version[:2], sorted(wheel.sha256 for wheel in self.wheels)])
        return hashlib.sha256(text.encode()).hexdigest()

    def spec(self, *, dry_run: bool = False, force: bool = False) -> protocol.InstallSpec:
        """Return what the agent is to make; `dry_run`: only report whether it is there; `force`: even where it is."""
        wheels = [{"name": wheel.name, "sha256": wheel.sha256} for wheel in self.wheels]
        return protocol.InstallSpec(environment=self.name, wheels=wheels, ask=dry_run, anew=force)


@dataclass(frozen=True, slots=True)
class EnvironmentChoice:
    """What an environment can be made of: the board's Pythons, the preferred ones first, and wheels for its system."""

    device: Device
    plan: SetupPlan
    system: SystemFacts
    pythons: Sequence[BoardPython]

    @property
    def folder(self) -> WheelFolder:
        """Where the wheels are kept on this machine."""
        return WheelFolder(self.plan.folder or cache_folder() / "board-wheels")

    def wanted(self) -> Iterator[tuple[str, tuple[Path, ...]]]:
        """Yield each runtime with the user's wheels for it; a wheel that is no build of a runtime goes to all.

        Raises:
            ConfigError: a wheel fits none of the board's Pythons, or is a build of a runtime that is not wanted.
            BoardError: nothing is built for the board's libc.
        """
        targets = [self._target(python) for python in self.pythons]
        packages = {path: _package_of(path, targets) for path in self.plan.wheels}
        builds = {path: runtime_of_package(package) for path, package in packages.items()}
        built = tuple(dict.fromkeys(name for name in builds.values() if name is not None))
        wanted = self.plan.runtimes or built or self.plan.wanted
        for path, runtime in builds.items():
            if runtime is not None and runtime not in wanted:
                raise ConfigError(f"{path.name} is a build of {runtime}, which is not among `runtimes={list(wanted)}`")
        for runtime in wanted:
            yield runtime, tuple(path for path, build in builds.items() if build in (None, runtime))

    def environment(self, runtime: str, own: Sequence[Path] = ()) -> BoardEnvironment:
        """Return the environment of a runtime, for the first of the board's Pythons that there are wheels for.

        Raises:
            NoWheelFits: for none of them; the message is about the first.
            BoardError: the wheels can't be downloaded.
        """
        refused: NoWheelFits | None = None
        for python in self.pythons:
            target = self._target(python)
            try:
                for path in own:
                    check_wheel(path, target)
                wheels = self.folder.resolve(runtime, target, own=own, upgrade=self.plan.upgrade)
                return BoardEnvironment(runtime, python, wheels, bool(own))
            except NoWheelFits as none:
                refused = refused or none
            except ConfigError as error:
                refused = refused or NoWheelFits(str(error))
        raise refused or NoWheelFits(f"{runtime}: no Python to look for wheels for")

    def _target(self, python: BoardPython) -> Target:
        return target_of(self.device.name, self.system, python)


def _package_of(path: Path, targets: Sequence[Target]) -> str:
    """Return the package in a wheel that fits one of the targets; the error is the one about the first."""
    refused: ConfigError | None = None
    for target in targets:
        try:
            return check_wheel(path, target)
        except ConfigError as error:
            refused = refused or error
    raise refused or ConfigError(f"{path} fits nothing")
