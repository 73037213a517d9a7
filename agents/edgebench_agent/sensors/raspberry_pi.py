"""The Raspberry Pi's throttle flags: bits 0-3 are now, bits 16-19 the same since boot.

0 under-voltage, 1 clock capped, 2 throttled, 3 soft temperature limit.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Callable, Dict, Optional

#: A shell that isn't a login shell may lack these in its PATH.
_PLACES = ("usr/bin/vcgencmd", "opt/vc/bin/vcgencmd")


def find(root: Path, _: int) -> Optional[Callable[[], Dict[str, Optional[int]]]]:
    """Return the reader of the flags."""
    if read_throttled(root) is None:
        return None
    return lambda: {"throttled": read_throttled(root)}


def read_throttled(root: Path) -> Optional[int]:
    """Return the flags as they are; None on a board without them, or where this user may not ask."""
    command = next((str(root / place) for place in _PLACES if (root / place).is_file()), None) or (
        shutil.which("vcgencmd") if root == Path("/") else None
    )
    if command is None:
        return None
    try:
        done = subprocess.run(
            [command, "get_throttled"], stdin=subprocess.DEVNULL, capture_output=True, timeout=2, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.fullmatch(rb"throttled=0x([0-9a-fA-F]{1,8})\s*", done.stdout)
    return int(found.group(1), 16) if found else None
