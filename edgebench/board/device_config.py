"""Writing boards into edgebench.toml; its other content, comments included, stays unchanged."""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgebench.device import Device, device_from_table, read_devices, read_toml
from edgebench.errors import ConfigError


def add_device(path: Path, name: str, settings: Mapping[str, str | int | None], *, replace: bool = False) -> Device:
    """Write the table `[device.NAME]` into a file of settings and return the board that it describes.

    The file is made if it does not exist, and is changed in one step. Settings that are None are left out; with
    `replace` an entry of that name gets these settings in place of its own.

    Raises:
        ConfigError: the entry exists (without `replace`), a setting is not valid, or the file is not valid or can't be
            written.
        UnknownName: there is no such profile.
    """
    table = {key: value for key, value in settings.items() if value is not None}
    device = device_from_table(name, table, path=path)
    present, text = ({}, "") if not path.exists() else (read_toml(path), path.read_bytes().decode())
    if name in (read_devices(path) if present else {}) and not replace:
        raise ConfigError(f"device {name!r} is already in {path}", hint="try `replace=True`, or another name")
    wanted = present | {"device": present.get("device", {}) | {name: table}}
    text = _with_entry(text, name, table)
    if tomllib.loads(text) != wanted:
        raise ConfigError(f"can't edit {path} in its present form; add a table [device.{name}] by hand")
    _write_by_rename(path, text)
    return device


def _with_entry(text: str, name: str, table: Mapping[str, Any]) -> str:
    """Return the TOML text with the table [device.NAME] in it, everything else as it was."""
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
        # The body of a table also has what follows its last key: comments about the next table, say.
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
