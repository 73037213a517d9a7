"""What the kernel may do meanwhile that no measurement survives: swap, or change the clock that all is timed by."""

import re
from pathlib import Path
from typing import Callable, Dict, Optional

from ..kernel_files import read_text

_SWAPPED = re.compile(r"^pswp(?:in|out) (\d+)$", re.MULTILINE)


def find(root: Path, _: int) -> Optional[Callable[[], Dict[str, Optional[int]]]]:
    """Return the reader of the pages swapped in and out since boot, and of the changes of the clock source seen."""
    told = {"swapped_pages": _swapped_pages(root), "clocksource_changes": read_clocksource(root)}
    if all(value is None for value in told.values()):
        return None
    last, changes = read_clocksource(root), 0

    def read() -> Dict[str, Optional[int]]:
        nonlocal last, changes
        now = read_clocksource(root)
        if now is not None and now != last:
            last, changes = now, changes + 1
        values = {"swapped_pages": _swapped_pages(root), "clocksource_changes": None if now is None else changes}
        return {name: value for name, value in values.items() if told[name] is not None}

    return read


def read_clocksource(root: Path) -> Optional[str]:
    """Return the name of what the kernel's clocks count by."""
    return read_text(root / "sys/devices/system/clocksource/clocksource0/current_clocksource") or None


def _swapped_pages(root: Path) -> Optional[int]:
    """The whole board's: what is swapped keeps the memory and the disk busy, whosever it is."""
    found = _SWAPPED.findall(read_text(root / "proc/vmstat") or "")
    return sum(int(pages) for pages in found) if found else None
