"""Devices: what a kind of board is (DeviceProfile, TOML data) and one board with an address (Device)."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from edgebench.artifact import EXPORT_FORMATS, Format
from edgebench.errors import ConfigError, UnknownName, nearest

CONFIG_NAME = "edgebench.toml"
LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProfile:
    """What a kind of board is, from its vendor's facts. Null where the vendor says nothing.

    `threads` is how many a runtime uses unless told otherwise; 0 leaves it to the runtime.
    `providers` are ONNX Runtime's execution providers to ask for, the first preferred; empty: the CPU.
    `sensors` names what such a board can tell (see the agent's sensors).
    """

    name: str
    title: str
    arch: str
    cpu: str | None
    cores: int | None
    isa: tuple[str, ...]
    memory_bytes: tuple[int, ...]  # the sizes it is sold with
    gpu: str | None
    os: tuple[str, ...]
    python: tuple[str, ...]  # versions that these systems ship
    runtimes: tuple[str, ...]
    default_format: Format
    threads: int
    providers: tuple[str, ...]
    sensors: tuple[str, ...]
    source: tuple[str, ...]  # where the facts stand
    notes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One board: a profile and the way to it. `host` None is this machine, without SSH.

    Raises:
        ConfigError: an empty name or host, or a port out of range.
    """

    name: str
    profile: DeviceProfile
    host: str | None = None
    user: str | None = None
    port: int | None = None
    identity_file: str | None = None
    python: str = "python3"
    host_key: str | None = None  # "ssh-ed25519 AAAA...": the only one to accept

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("a device needs a name")
        if self.host is not None and (not self.host or self.host.startswith("-")):
            raise ConfigError(f"device {self.name!r}: {self.host!r} is not a host")
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ConfigError(f"device {self.name!r}: port must be 1..65535, got {self.port}")
        if not self.python:
            raise ConfigError(f"device {self.name!r}: python must not be empty")

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        return self.host is None


def profiles_folder() -> Path:
    """Return the folder of the built-in profiles: inside the installed package, or in the repository's root."""
    package = Path(__file__).parent
    installed = package / "device_profiles"
    return installed if installed.is_dir() else package.parent / "device_profiles"


@cache
def profile_names() -> tuple[str, ...]:
    """Return the names of the built-in profiles."""
    return tuple(sorted(path.stem for path in profiles_folder().glob("*.toml")))


def load_profile(name: str) -> DeviceProfile:
    """Return the built-in profile of that name.

    Raises:
        UnknownName: there is none.
        ConfigError: its file is not valid.
    """
    if name not in profile_names():
        raise UnknownName("device profile", name, profile_names())
    return read_profile(profiles_folder() / f"{name}.toml")


def read_profile(path: Path) -> DeviceProfile:
    """Return the profile in a TOML file; its name is the file's.

    Raises:
        ConfigError: not TOML, or a key is unknown, missing or of another type.
    """
    values = read_toml(path)
    known = {slot.name for slot in fields(DeviceProfile)} - {"name"}
    refuse_unknown_keys(values, known, where=str(path))
    lists = {"isa", "memory_bytes", "os", "python", "runtimes", "providers", "sensors", "source"}
    arguments: dict[str, Any] = {"cpu": None, "cores": None, "gpu": None, "providers": (), "isa": ()}
    for key, value in values.items():
        if (key in lists) != isinstance(value, list):
            raise ConfigError(f"{path}: {key} must {'' if key in lists else 'not '}be a list")
        arguments[key] = tuple(value) if key in lists else value
    if arguments.get("default_format") not in [str(known) for known in EXPORT_FORMATS]:
        raise ConfigError(f"{path}: default_format must be one of {', '.join(EXPORT_FORMATS)}")
    arguments["default_format"] = Format(arguments["default_format"])
    try:
        return DeviceProfile(name=path.stem, **arguments)
    except TypeError as error:
        raise ConfigError(f"{path}: {str(error).removeprefix('DeviceProfile.__init__() ')}") from error


def config_paths(*, folder: Path | None = None) -> list[Path]:
    """Return the files of settings that count, the first strongest: the project's, then the user's."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return [(folder or Path.cwd()) / CONFIG_NAME, Path(home) / "edgebench" / CONFIG_NAME]


def configured_devices(*, folder: Path | None = None) -> dict[str, Device]:
    """Return the boards that the files of settings name; a project's entry hides the user's of the same name.

    Raises:
        ConfigError: a file is not TOML, or has an unknown or ill-typed key.
    """
    devices: dict[str, Device] = {}
    for path in reversed(config_paths(folder=folder)):
        if path.is_file():
            devices |= read_devices(path)
    return devices


def read_devices(path: Path) -> dict[str, Device]:
    """Return the boards of one file of settings, by name."""
    values = read_toml(path)
    refuse_unknown_keys(values, {"device"}, where=str(path))
    tables = values.get("device", {})
    if not isinstance(tables, dict):
        raise ConfigError(f"{path}: [device.NAME] tables expected")
    return {name: _device_from_table(name, table, where=f"{path}: [device.{name}]") for name, table in tables.items()}


_DEVICE_KEYS: Mapping[str, type] = {
    "profile": str,
    "host": str,
    "user": str,
    "port": int,
    "identity_file": str,
    "python": str,
    "host_key": str,
}


def _device_from_table(name: str, table: Any, *, where: str) -> Device:
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is not a table")
    refuse_unknown_keys(table, _DEVICE_KEYS, where=where)
    for key, value in table.items():
        if type(value) is not _DEVICE_KEYS[key]:
            raise ConfigError(f"{where}: {key} must be of type {_DEVICE_KEYS[key].__name__}")
    if "host" not in table:
        raise ConfigError(f"{where} lacks host; try: edgebench device add {name} --host USER@HOST")
    settings = dict(table)
    profile_name = settings.pop("profile", name if name in profile_names() else "generic-linux")
    return Device(name=name, profile=load_profile(profile_name), **settings)


def find_device(name: str, *, folder: Path | None = None) -> Device:
    """Return the board of that name, or this machine for `local`.

    Raises:
        UnknownName: nothing has that name.
        ConfigError: it is a profile's name, but no board of that name has an address.
    """
    boards = configured_devices(folder=folder)
    if name in boards:
        return boards[name]
    if name == LOCAL:
        import sys

        return Device(name=LOCAL, profile=load_profile(LOCAL), python=sys.executable)
    if name in profile_names():
        raise ConfigError(
            f"device {name!r} has no address; try: edgebench device add {name} --host USER@HOST"
            f" (or pass --host USER@HOST to this command)"
        )
    raise UnknownName("device", name, {*boards, *profile_names(), LOCAL})


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises:
        ConfigError: it can't be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def refuse_unknown_keys(values: Mapping[str, Any], known: Any, *, where: str) -> None:
    """Raise ConfigError for the first key that is not known, naming the nearest that is."""
    for key in values:
        if key not in known:
            near = nearest(key, known)
            hint = f"did you mean {near!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise ConfigError(f"{where}: unknown key {key!r}; {hint}")
