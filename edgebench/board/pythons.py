"""The Pythons of a board: found before the agent is there, so by the shell that every board has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgebench.board.facts import is_path
from edgebench.board.transport.base import Transport
from edgebench.errors import BoardError
from edgebench_agent import protocol

OLDEST_PYTHON = (3, 8)
#: The value of `python = ...` that is no choice of the user: then the environments of `device setup` are used, and a
#: newer Python is searched where this one is too old.
DEFAULT_PYTHON = "python3"

# Each Python is run: a name on the PATH may be a shim without a Python, or a link to another.
_REPORT = """
import json, os, struct, sys
base = getattr(sys, "_base_executable", None) or sys.executable
bits = struct.calcsize("P") * 8
print(json.dumps({"path": os.path.realpath(base), "version": list(sys.version_info[:3]), "bits": bits}))
"""
_SEARCH = """
for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 python3.8 python3.7 python3.6; do
    found=$(command -v "$name") && "$found" -I -c "$1" 2>/dev/null </dev/null
done
exit 0
"""


@dataclass(frozen=True, slots=True)
class BoardPython:
    """A Python of a board: its path, its version, and whether it is a 32-bit or a 64-bit program."""

    path: str
    version: tuple[int, int, int]
    bits: int

    @property
    def is_new_enough(self) -> bool:
        """Whether the agent runs on it."""
        return self.version >= OLDEST_PYTHON

    @property
    def shown(self) -> str:
        """Its version and path, for messages."""
        return f"{'.'.join(map(str, self.version))} at {self.path}"


def find_pythons(transport: Transport) -> list[BoardPython]:
    """Return the Pythons that run on a board, each once: `python3` first, then the newest first.

    Raises:
        BoardError: there is none.
        ConnectionLost.
    """
    result = transport.run(["/bin/sh", "-c", _SEARCH, "sh", _REPORT], timeout_s=120, limit_bytes=1 << 16)
    found: dict[str, BoardPython] = {}
    for line in result.stdout.splitlines():
        python = _read(line)
        if python is not None:
            found.setdefault(python.path, python)
    if not found:
        raise BoardError(
            f"{transport.name}: there is no Python 3 on the board; install Python >= 3.8 there "
            f"(sudo apt install python3), or name it with python = ... in edgebench.toml"
        )
    return list(found.values())


def require_new_enough(pythons: Sequence[BoardPython], *, name: str) -> list[BoardPython]:
    """Return those of device `name`'s Pythons on which the agent runs.

    Raises:
        BoardError: there is none.
    """
    fitting = [python for python in pythons if python.is_new_enough]
    if not fitting:
        shown = ", ".join(python.shown for python in pythons)
        raise BoardError(
            f"{name}: the board has only Python {shown}, edgebench needs >= 3.8; install a newer one in addition "
            f"(Ubuntu 18.04: sudo apt install python3.8), or take a newer system"
        )
    return fitting


def _read(line: bytes) -> BoardPython | None:
    try:
        return read_python(protocol.decode_object(line))
    except protocol.ProtocolError:
        return None


def read_python(report: Any) -> BoardPython | None:
    """Return the Python in a board's report (path, version, bits); None where the report is not valid."""
    if type(report) is not dict:
        return None
    path, version, bits = report.get("path"), report.get("version"), report.get("bits")
    if not is_path(path):
        return None
    if type(version) is not list or len(version) != 3 or not all(type(part) is int for part in version):
        return None
    return BoardPython(path, (version[0], version[1], version[2]), 32 if bits == 32 else 64)
