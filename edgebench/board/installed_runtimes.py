"""The runtimes that `device setup` has installed on a board, as the board's table of environments lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgebench.board.facts import is_path, sanitize_tail
from edgebench_agent import protocol

#: What the board's table has of each runtime.
_COLUMNS = ("python", "environment", "packages", "agreement")


@dataclass(frozen=True, slots=True)
class InstalledRuntime:
    """A runtime that `device setup` has installed or accepted on a board.

    Args:
        python: the interpreter that has it, on the board.
        environment: the name of the environment; None: it belongs to the board's own Python.
        packages: versions by name.
        agreement: how its numbers compared with those of this machine, for people.
        own: the user chose it: a wheel, or the board's own Python.
    """

    python: str
    environment: str | None
    packages: Mapping[str, str]
    agreement: str
    own: bool = False


def read_runtimes(table: Any) -> dict[str, InstalledRuntime]:
    """Return the runtimes in a board's table, by name; an entry that is not valid is left out."""
    if type(table) is not dict or len(table) > protocol.MAX_ITEMS:
        return {}
    found = {}
    for runtime, entry in table.items():
        try:
            adoption = protocol.Adoption.from_json(
                protocol.encode_object(
                    {name: entry[name] for name in _COLUMNS} | {"runtime": runtime, "own": entry.get("own", False)}
                )
            )
        except (protocol.ProtocolError, AttributeError, KeyError, TypeError, ValueError):
            continue
        if is_path(adoption.python):
            packages = {
                sanitize_tail(name, 80): sanitize_tail(version, 80) for name, version in adoption.packages.items()
            }
            found[runtime] = InstalledRuntime(
                adoption.python, adoption.environment, packages, sanitize_tail(adoption.agreement), adoption.own
            )
    return found
