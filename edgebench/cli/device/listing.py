"""edgebench device list: the configured boards and the built-in profiles."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import cloup

from edgebench.cli.options import result_options
from edgebench.cli.output import console, to_stdout, write_json

if TYPE_CHECKING:
    from edgebench.device import Device


@cloup.command("list")
@result_options
def command(json_target: str | None) -> None:
    """List the boards of edgebench.toml and the built-in profiles.

    \b
    Example:
      edgebench device list
    """
    from edgebench.device import list_devices, list_profiles

    boards, profiles = list_devices(), list_profiles()
    write_json(
        json_target,
        {
            "devices": [_device_to_json(board) for board in boards],
            "profiles": [dataclasses.asdict(profile) for profile in profiles],
        },
    )
    if not to_stdout(json_target):
        return
    from edgebench.reporting import PlainTable

    table = PlainTable(
        "device",
        "profile",
        "address",
        "python",
        "host key",
        "from",
        title="Boards",
        hide_first=("from", "host key", "python"),
    )
    for board in boards:
        key = "" if board.is_local else "pinned" if board.host_key else "known_hosts"
        table.add_row(board.name, board.profile.name, board.address, board.python, key, board.origin or "built in")
    console().print(table)
    console().print()
    table = PlainTable("profile", "what it is", "default format", title="Built-in profiles")
    for profile in profiles:
        table.add_row(profile.name, profile.title, str(profile.default_format))
    console().print(table)


def _device_to_json(board: Device) -> dict[str, Any]:
    settings = ("host", "user", "port", "identity_file", "python", "host_key", "origin")
    return {
        "name": board.name,
        "profile": board.profile.name,
        **{name: getattr(board, name) for name in settings},
    }
