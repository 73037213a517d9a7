"""Which Pythons a board has: found before the agent is there, so by the shell that every board has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgebench.board.transport.base import Transport
from edgebench.errors import BoardError
from edgebench_agent import protocol

OLDEST_PYTHON = (3, 8)
#: What `python = ...` is where nobody has chosen: then edgebench's own environments are used, and another Python is
#: looked for where this one is too old.
DEFAULT_PYTHON = "python3"

# Each answers for itself: a name on the PATH may be a shim of nothing, or a link to another.
_TELL = """
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
    """A Python of a board: where it lies, its version, and whether it is a 32-bit or a 64-bit program."""

    path: str
    version: tuple[int, int, int]
    bits: int

    @property
    def is_new_enough(self) -> bool:
        """Whether the agent runs on it."""
        return self.version >= OLDEST_PYTHON

    @property
    def shown(self) -> str:
        """Its version and place, for messages."""
        return f"{'.'.join(map(str, self.version))} at {self.path}"


def find_pythons(transport: Transport) -> list[BoardPython]:
    """Return the Pythons that run on a board, each once: `python3` first, then the newest first.

    Raises:
        BoardError: there is none.
        ConnectionLost.
    """
    result = transport.run(["/bin/sh", "-c", _SEARCH, "sh", _TELL], timeout_s=120, limit_bytes=1 << 16)
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


def _read(line: bytes) -> BoardPython | None:
    try:
        return board_python(protocol.decode_object(line))
    except protocol.ProtocolError:
        return None


def board_python(told: Any) -> BoardPython | None:
    """Return the Python that a board tells of (path, version, bits); None where that is not what it tells."""
    if type(told) is not dict:
        return None
    path, version, bits = told.get("path"), told.get("version"), told.get("bits")
    if type(path) is not str or not path.startswith("/") or not path.isprintable() or len(path) > 4096:
        return None
    if type(version) is not list or len(version) != 3 or not all(type(part) is int for part in version):
        return None
    return BoardPython(path, (version[0], version[1], version[2]), 32 if bits == 32 else 64)
