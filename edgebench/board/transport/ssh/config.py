"""The text of OpenSSH's client configuration, with its Include lines replaced by what they include.

paramiko's reader, which Fabric uses, skips Include. See ssh_config(5).
"""

from __future__ import annotations

import re
from pathlib import Path

_MAX_DEPTH = 16  # as in OpenSSH


def ssh_config_text() -> str:
    """Return the user's and then the system's configuration as one text; empty where there is none."""
    user = Path.home() / ".ssh"
    system = Path("/etc/ssh")
    # The system's part must not belong to the user's last Host block.
    return "\n".join(
        ["Host *", *_lines(user / "config", user, 0), "Host *", *_lines(system / "ssh_config", system, 0), ""]
    )


def _lines(path: Path, folder: Path, depth: int) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    lines: list[str] = []
    block = "Host *"
    for line in text.splitlines():
        keyword, *arguments = re.split(r"[\s=]+", line.strip()) or [""]
        if keyword.lower() in ("host", "match"):
            block = line
        if keyword.lower() != "include":
            lines.append(line)
        elif depth < _MAX_DEPTH:
            for argument in arguments:
                lines += _included(argument.strip('"'), folder, depth)
            lines.append(block)  # the lines below belong to the block in which the Include stands
    return lines


def _included(pattern: str, folder: Path, depth: int) -> list[str]:
    path = Path(pattern).expanduser()
    path = path if path.is_absolute() else folder / path
    found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    return [line for name in found for line in _lines(name, folder, depth + 1)]
