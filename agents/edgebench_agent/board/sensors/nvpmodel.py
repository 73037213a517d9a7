"""The Jetson's power mode, which selects the active cores and limits the clocks: its number and its name.

`nvpmodel` writes the number into a file that every user may read; `nvpmodel -q` may need root.
"""

import re
from pathlib import Path
from typing import Callable, Dict, Optional

from ..kernel_files import read_text
from .command import command_output, find_command

_STATUS = "var/lib/nvpmodel/status"
_NAMES = "etc/nvpmodel.conf"
NVPMODEL = ("usr/sbin/nvpmodel",)


def find(root: Path, _: int) -> Optional[Callable[[], Dict[str, Optional[int]]]]:
    """Return the reader of the mode's number."""
    if _number(root) is None:
        return None
    return lambda: {"power_mode": _number(root)}


def read_power_mode(root: Path) -> Optional[str]:
    """Return the mode's name, or its number where no name is known; None on other boards."""
    number = _number(root)
    if number is None:
        return _queried_name(root)
    pattern = rf"^\s*<\s*POWER_MODEL\s+ID=0*{number}\s+NAME=([\w.-]{{1,64}})\s*>"
    found = re.search(pattern, read_text(root / _NAMES, limit=1 << 20) or "", re.MULTILINE)
    return found.group(1) if found else str(number)


def power_mode_number(root: Path) -> Optional[int]:
    """Return the mode's number; None on other boards."""
    return _number(root)


def power_modes(root: Path) -> Dict[int, str]:
    """Return the board's power modes, number -> name; empty on other boards."""
    pattern = r"^\s*<\s*POWER_MODEL\s+ID=(\d{1,6})\s+NAME=([\w.-]{1,64})\s*>"
    found = re.findall(pattern, read_text(root / _NAMES, limit=1 << 20) or "", re.MULTILINE)
    return {int(number): name for number, name in found}


def _number(root: Path) -> Optional[int]:
    found = re.search(r"^pmode:(\d{1,6})", read_text(root / _STATUS, limit=1024) or "", re.MULTILINE)
    return int(found.group(1)) if found else None


def _queried_name(root: Path) -> Optional[str]:
    command = find_command(root, NVPMODEL)
    answer = command_output(command, "-q") if command is not None else None
    found = re.search(r"^NV Power Mode: *([\w.-]{1,64})", answer or "", re.MULTILINE)
    return found.group(1) if found else None
