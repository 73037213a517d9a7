"""Writing boards into edgebench.toml: existing content, comments included, stays as it is."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgebench.device import (
    Device,
    config_paths,
    configured_devices,
    device_from_table,
    looked_in,
    parse_address,
    read_devices,
    read_toml,
)
from edgebench.errors import ConfigError, UnknownName
from edgebench.reading import parse_toml, read_bytes


def add_device(
    name: str,
    host: str,
    *,
    profile: str | None = None,
    user: str | None = None,
    port: int | None = None,
    identity_file: str | None = None,
    python: str | None = None,
    host_key: str | None = None,
    path: str | Path | None = None,
    replace: bool = False,
) -> Device:
    """Write a board into edgebench.toml; return it. The board is not contacted.

    Args:
        name: of the board, for `find_device`.
        host: [user@]host[:port].
        profile: name of a device profile; default: `name` where there is such a profile, else `generic-linux`.
        user, port: instead of those in `host`.
        identity_file: private key to log in with.
        python: Python on the board that runs the agent.
        host_key: the only host key to accept, as `fetch_host_key` returns it; default: as known_hosts says.
        path: the settings file; default: `edgebench.toml` in the working folder.
        replace: replace the settings of an existing entry.

    Raises:
        ConfigError: the entry exists (without `replace`), an argument is not valid, or the file is not valid or can't
            be written.
        UnknownName: there is no such profile.
    """
    address_user, address, address_port = parse_address(host)
    settings = {
        "profile": profile,
        "host": address,
        "user": user if user is not None else address_user,
        "port": port if port is not None else address_port,
        "identity_file": identity_file,
        "python": python,
        "host_key": host_key,
    }
    return write_device(Path(path) if path is not None else config_paths()[0], name, settings, replace=replace)


def write_device(path: Path, name: str, settings: Mapping[str, str | int | None], *, replace: bool = False) -> Device:
    """Write the table `[device.NAME]` into a settings file; return the board that it describes.

    The file is created if it does not exist, and is changed atomically.

    Args:
        path: the settings file, e.g. `edgebench.toml` of the project.
        settings: keys of the table (`edgebench.device.DEVICE_KEYS`); a value of None leaves the key out.
        replace: replace the settings of an existing entry.

    Raises:
        ConfigError: the entry exists (without `replace`), a setting is not valid, or the file is not valid or can't
            be written.
        UnknownName: there is no such profile.
    """
    table = {key: value for key, value in settings.items() if value is not None}
    device = device_from_table(name, table, path=path)
    present, text = ({}, "") if not path.exists() else (read_toml(path), read_bytes(path).decode("utf-8-sig"))
    if name in (read_devices(path) if present else {}) and not replace:
        raise ConfigError(f"device {name!r} is already in {path}", hint="try `replace=True`, or another name")
    wanted = present | {"device": present.get("device", {}) | {name: table}}
    text = _with_entry(text, name, table)
    if parse_toml(text) != wanted:
        raise ConfigError(f"can't change {path} in its present form; add a table [device.{name}] by hand")
    _write_by_rename(path, text)
    return device


def remove_device(name: str, *, folder: Path | None = None) -> Path:
    """Remove a board from the settings file that names it; return that file. The board is not contacted.

    Args:
        folder: the project's folder; default: the working folder.

    Raises:
        UnknownName: no settings file names it.
        ConfigError: the file is not valid, or can't be written.
    """
    import tomlkit

    boards = configured_devices(folder=folder)
    if name not in boards:
        raise UnknownName("board", name, boards, hint=looked_in(folder=folder))
    path = Path(str(boards[name].origin))
    document = tomlkit.parse(read_bytes(path).decode("utf-8-sig"))
    wanted = read_toml(path)
    del wanted["device"][name]
    document["device"].remove(name)
    if not wanted["device"]:
        del wanted["device"]
        document.remove("device")
    text = tomlkit.dumps(document)
    if parse_toml(text) != wanted:
        raise ConfigError(f"can't change {path} in its present form; remove the table [device.{name}] by hand")
    _write_by_rename(path, text)
    return path


def _with_entry(text: str, name: str, table: Mapping[str, Any]) -> str:
    """Return the TOML text with the table [device.NAME]; everything else is unchanged."""
    import tomlkit
    from tomlkit.items import Table

    document = tomlkit.parse(text)
    devices = document.setdefault("device", tomlkit.table(is_super_table=True))
    entry = devices.get(name)
    if entry is None:
        entry = tomlkit.table() if isinstance(devices, Table) else tomlkit.inline_table()
        entry.update(table)
        devices[name] = entry
    else:
        for key in [key for key in entry if key not in table]:
            del entry[key]
        # Comments after the last key of a table, which are about the next one, are in this table's body, too.
        body = entry.value.body
        last = max((place for place, (key, _) in enumerate(body) if key is not None), default=-1)
        rest = body[last + 1 :]
        del body[last + 1 :]
        entry.update(table)
        body.extend(rest)
    return tomlkit.dumps(document)


def _write_by_rename(path: Path, text: str) -> None:
    target = path.resolve()  # a symbolic link, as dotfiles often are, stays one
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(f"can't write {path}: {error.strerror}") from error
