"""Devices: what a kind of board is (DeviceProfile, TOML data) and one board with an address (Device)."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgebench.artifact import EXPORT_FORMATS, Format
from edgebench.errors import ConfigError, UnknownName
from edgebench.reading import parse_toml, read_text
from edgebench.serialisation import field_names, from_plain, refuse_unknown_keys

CONFIG_NAME = "edgebench.toml"
LOCAL = "local"
ALL = "all"  # in place of a name: every board


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProfile:
    """What a kind of board is, from its vendor's facts. None or empty where the vendor says nothing.

    Args:
        threads: default of a workload; 0 leaves the number to the runtime.
        providers: execution providers of ONNX Runtime, the preferred one first; empty: the CPU.
        runtimes: packages that have wheels for the Pythons of the board, or for one that can be installed there.
        sensors: what such a board can measure of itself.
    """

    name: str
    title: str
    arch: str | None = None  # as `uname -m` says it
    cpu: str | None = None
    cores: int | None = None
    isa: tuple[str, ...] = ()  # as /proc/cpuinfo names the features
    memory_bytes: tuple[int, ...]  # the sizes it is sold with
    gpu: str | None = None
    os: tuple[str, ...]  # newest first
    python: tuple[str, ...]  # the versions that these systems ship, in the same order
    runtimes: tuple[str, ...]
    default_format: Format
    threads: int
    providers: tuple[str, ...] = ()
    cool_below_c: int | None = None  # default of a request; edgebench's choice, above what an idle board has
    sensors: tuple[str, ...]
    source: tuple[str, ...]  # where these facts come from
    notes: str = ""

    def __post_init__(self) -> None:
        if self.default_format not in EXPORT_FORMATS:
            raise ConfigError(f"default_format must be one of {', '.join(EXPORT_FORMATS)}, got {self.default_format}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One board: a profile and an address. `host` None is this machine, without SSH.

    Raises:
        ConfigError: name or python is empty, host is no name or address, port is out of range, or host_key malformed.
    """

    name: str
    profile: DeviceProfile
    host: str | None = None
    user: str | None = None
    port: int | None = None
    identity_file: str | None = None
    python: str = "python3"
    host_key: str | None = None  # "ssh-ed25519 AAAA...": the only one to accept
    origin: str | None = None  # the file of settings that names it

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("a device needs a name")
        if self.host is not None and not _is_host(self.host):
            raise ConfigError(
                f"device {self.name!r}: {self.host!r} is not a host name or address; give user and port apart"
            )
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ConfigError(f"device {self.name!r}: port must be 1..65535, got {self.port}")
        if not self.python:
            raise ConfigError(f"device {self.name!r}: python must not be empty")
        if self.host_key is not None and not _HOST_KEY.fullmatch(self.host_key):
            raise ConfigError(f"device {self.name!r}: host_key must look like 'ssh-ed25519 AAAA...'")

    def refuse_nul(self) -> None:
        """Raise ConfigError for a NUL, which no command and no path can hold; a settings file may have one."""
        for key in ("host", "user", "identity_file", "python"):
            if "\0" in (getattr(self, key) or ""):
                raise ConfigError(f"device {self.name!r}: {key} has a NUL")

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        return self.host is None

    @property
    def address(self) -> str:
        """Its address, as `parse_address` reads it; empty for this machine."""
        return format_address(self.user, self.host, self.port) if self.host else ""


_HOST = re.compile(r"[^\s@/\[\]-][^\s@/\[\]]*")
_HOST_KEY = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}")


def _is_host(text: str) -> bool:
    """Whether the text is only a name or an address: no user, port, brackets or options."""
    if _HOST.fullmatch(text) is None or not text.isprintable():
        return False
    if ":" not in text:
        return True
    from ipaddress import AddressValueError, IPv6Address

    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def parse_address(text: str) -> tuple[str | None, str, int | None]:
    """Return user, host and port of `[user@]host[:port]`; None for what is absent.

    An IPv6 address with a port has brackets, `[::1]:22`; without a port, it needs none: `::1`.

    Raises:
        ConfigError: the text is none of these.
    """
    user, at, rest = text.rpartition("@")
    bracketed = re.fullmatch(r"\[([^\[\]]+)\](?::(.*))?", rest)
    if bracketed:
        host, port = bracketed.group(1), bracketed.group(2)
        if ":" not in host:
            raise ConfigError(f"{text!r} is not an address: only an IPv6 address has brackets")
    elif rest.count(":") > 1:
        host, port = rest, None
    else:
        host, _, port = rest.partition(":")
        port = port if ":" in rest else None
    if not text.isprintable() or not _is_host(host) or (at and not re.fullmatch(r"[^\s:/-][^\s:/]*", user)):
        raise ConfigError(f"{text!r} is not an address; expected [user@]host[:port]")
    if port is not None and not (re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
        raise ConfigError(f"{text!r} is not an address: port must be 1..65535, got {port!r}")
    return (user if at else None), host, (int(port) if port is not None else None)


def format_address(user: str | None, host: str, port: int | None) -> str:
    """Return the text from which `parse_address` reads the same values."""
    shown = f"[{host}]" if ":" in host and port is not None else host
    return (f"{user}@" if user else "") + shown + (f":{port}" if port is not None else "")


def profiles_folder() -> Path:
    """Return the folder of the built-in profiles: in the installed package, or in the root of the repository."""
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
        ConfigError: the file is not TOML, or a key is unknown, missing or of another type.
    """
    return from_plain(DeviceProfile, read_toml(path), where=str(path), without=("name",), given={"name": path.stem})


def config_paths(*, folder: Path | None = None) -> list[Path]:
    """Return the settings files, by precedence: the project's, then the user's.

    The project's is the nearest one in `folder` (default: the working folder) or above it, up to the home or the root
    of a repository; where there is none, the one that `folder` would have.
    """
    start = folder or Path.cwd()
    return [_project_config(start) or start / CONFIG_NAME, user_config_folder() / CONFIG_NAME]


def _project_config(start: Path) -> Path | None:
    start = start.absolute()
    home = Path.home()
    for folder in (start, *start.parents):
        path = folder / CONFIG_NAME
        if path.is_file() and _counts(path):
            return path
        if folder == home or (folder / ".git").exists():
            return None
    return None


def _counts(path: Path) -> bool:
    """Whether a settings file is used: anybody can put one into a folder such as /tmp, so there it must be the user's.

    On a system without user ids, no folder is of that kind.
    """
    return path.stat().st_uid == os.getuid() or not path.parent.stat().st_mode & stat.S_IWOTH


def user_config_folder() -> Path:
    """Return the folder of the user's settings: in `XDG_CONFIG_HOME`, else in ~/.config."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "edgebench"


def looked_in(*, folder: Path | None = None) -> str:
    """Return where settings files are looked for, for a message."""
    return (
        f"looked for {CONFIG_NAME} in {(folder or Path.cwd()).absolute()} and the folders above, "
        f"and in {user_config_folder()}"
    )


def configured_devices(*, folder: Path | None = None) -> dict[str, Device]:
    """Return the boards of the settings files, by name; a project's entry hides the user's of the same name.

    Raises:
        ConfigError: a file is not TOML, or has an unknown or ill-typed key.
    """
    devices: dict[str, Device] = {}
    for path in reversed(config_paths(folder=folder)):
        if path.is_file() and _counts(path):
            devices |= read_devices(path)
    return devices


def list_devices(*, folder: Path | None = None) -> list[Device]:
    """Return this machine (`local`) and the boards of the settings files.

    Args:
        folder: the project's folder; default: the working folder.

    Raises:
        ConfigError: a settings file is not TOML, or has an unknown or ill-typed key.
    """
    return [find_device(LOCAL), *configured_devices(folder=folder).values()]


def list_profiles() -> list[DeviceProfile]:
    """Return the built-in device profiles."""
    return [load_profile(name) for name in profile_names()]


def read_devices(path: Path) -> dict[str, Device]:
    """Return the boards of one settings file, by name.

    Raises:
        ConfigError: the file is not TOML, or has an unknown or ill-typed key.
    """
    values = read_toml(path)
    refuse_unknown_keys(values, {"device", "gate"}, where=str(path))  # the budgets: see edgebench.gating
    tables = values.get("device", {})
    if not isinstance(tables, dict):
        raise ConfigError(f"{path}: [device.NAME] tables expected")
    return {name: device_from_table(name, table, path=path) for name, table in tables.items()}


#: Keys of a [device.NAME] table: the table's head has the name, the file is the origin.
DEVICE_KEYS = field_names(Device, without=("name", "origin"))

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def device_from_table(name: str, table: Any, *, path: Path) -> Device:
    """Return the board that a `[device.NAME]` table of the settings file `path` describes.

    Raises:
        ConfigError: a key is unknown, missing or of another type, or the name can't be used.
        UnknownName: there is no such profile.
    """
    where = f"{path}: [device.{name}]"
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: a device's name has letters, digits, '_', '-' and '.' only")
    if name == LOCAL:
        raise ConfigError(f"{where}: {LOCAL!r} is this machine without SSH; give the board another name")
    if name == ALL:
        raise ConfigError(f"{where}: {ALL!r} stands for all boards; give the board another name")
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is not a table")
    refuse_unknown_keys(table, DEVICE_KEYS, where=where)
    if "host" not in table:
        raise ConfigError(f"{where} lacks host; try: edgebench device add {name} --host USER@HOST --replace")
    profile = table.get("profile", name if name in profile_names() else "generic-linux")
    if profile not in profile_names():
        raise UnknownName("device profile", str(profile), profile_names(), hint=where)
    given = {"name": name, "profile": load_profile(profile), "origin": str(path)}
    return from_plain(Device, table, where=where, given=given)


def find_device(name: str, *, folder: Path | None = None) -> Device:
    """Return the board of that name, or this machine for `local`.

    Args:
        name: a name of the settings files (see `edgebench device list`), or `local`.
        folder: the project's folder; default: the working folder.

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
            f" (or once: edgebench profile --host USER@HOST); {looked_in(folder=folder)}"
        )
    raise UnknownName("device", name, {*boards, *profile_names(), LOCAL}, hint=looked_in(folder=folder))


def read_toml(path: Path, *, within: Path | None = None) -> dict[str, Any]:
    """Return the content of a TOML file; `within`: see `edgebench.reading.open_file`.

    Raises:
        ConfigError: it can't be read or is not TOML.
    """
    try:
        return parse_toml(read_text(path, within=within))
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
