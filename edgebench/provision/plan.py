"""What `device setup` is to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgebench.errors import ConfigError, UnknownName
from edgebench.request import WAIT_S
from edgebench.runtimes import RUNTIMES


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupPlan:
    """What to install on a board.

    Args:
        runtimes: empty: all that have wheels for the board.
        wheels: the user's own, instead of the ones from the package index.
        system_python: use the runtimes that the board's own Python has; install nothing.
        folder: where wheels are kept on this machine; None: in edgebench's cache.
        upgrade: look for newer wheels, even where the board is set up.
        wait_s: how long to wait for a board that somebody else holds.

    Raises:
        UnknownName: there is no such runtime.
        ConfigError: the arguments contradict each other, or a wheel does not exist.
    """

    runtimes: tuple[str, ...] = ()
    wheels: tuple[Path, ...] = ()
    system_python: bool = False
    folder: Path | None = None
    upgrade: bool = False
    wait_s: float = WAIT_S

    def __post_init__(self) -> None:
        for name in self.runtimes:
            if name not in RUNTIMES:
                raise UnknownName("runtime", name, RUNTIMES)
        if self.system_python and self.wheels:
            raise ConfigError("`system_python` installs nothing", hint="leave `wheels` out, or `system_python`")
        for path in self.wheels:
            if not path.is_file():
                raise ConfigError(f"there is no wheel at {path}")

    @property
    def wanted(self) -> tuple[str, ...]:
        """The runtimes that are named, or all."""
        return self.runtimes or tuple(RUNTIMES)
