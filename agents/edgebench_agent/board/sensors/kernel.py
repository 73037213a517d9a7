"""Two things that invalidate a measurement: swapping, and a change of the kernel's clock source."""

import re
from pathlib import Path
from typing import Callable, Dict, Optional

from ..kernel_files import read_text

_SWAPPED = re.compile(r"^pswp(?:in|out) (\d+)$", re.MULTILINE)


def find(root: Path, _: int) -> Optional[Callable[[], Dict[str, Optional[int]]]]:
    """Return the reader of the pages swapped in and out since boot, and of the observed changes of the clock source."""
    first = {"swapped_pages": _swapped_pages(root), "clocksource_changes": read_clocksource(root)}
    if all(value is None for value in first.values()):
        return None
    last, changes = read_clocksource(root), 0

    def read() -> Dict[str, Optional[int]]:
        nonlocal last, changes
        now = read_clocksource(root)
        if now is not None and now != last:
            last, changes = now, changes + 1
        values = {"swapped_pages": _swapped_pages(root), "clocksource_changes": None if now is None else changes}
        return {name: value for name, value in values.items() if first[name] is not None}

    return read


def read_clocksource(root: Path) -> Optional[str]:
    """Return the name of the clock source behind the kernel's clocks."""
    return read_text(root / "sys/devices/system/clocksource/clocksource0/current_clocksource") or None


def _swapped_pages(root: Path) -> Optional[int]:
    """Count for the entire board: swapping keeps memory and disk busy, whichever process causes it."""
    found = _SWAPPED.findall(read_text(root / "proc/vmstat") or "")
    return sum(int(pages) for pages in found) if found else None
