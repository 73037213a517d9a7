"""What serves runtimes on a board since `device setup`, as the board's table of environments tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgebench.board.facts import is_path, sanitize_tail
from edgebench_agent import protocol

#: What the board's table has of each runtime.
_TABLE = ("python", "environment", "packages", "agreement")


@dataclass(frozen=True, slots=True)
class InstalledRuntime:
    """What serves a runtime on a board since `device setup`: a Python, in an environment or the board's own.

    `packages`: versions by name; `agreement`: how its numbers compared with the host's, for people; `own`: it is the
    user's choice, a wheel or the board's own Python.
    """

    python: str
    environment: str | None
    packages: Mapping[str, str]
    agreement: str
    own: bool = False


def served_runtimes(told: Any) -> dict[str, InstalledRuntime]:
    """Return what serves each runtime, as a board's table tells; an entry that is not one is left out."""
    if type(told) is not dict or len(told) > protocol.MAX_ITEMS:
        return {}
    found = {}
    for runtime, entry in told.items():
        try:
            adoption = protocol.Adoption.from_json(
                protocol.encode_object(
                    {name: entry[name] for name in _TABLE} | {"runtime": runtime, "own": entry.get("own", False)}
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
