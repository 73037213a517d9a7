"""Memory of the worker. Reading RSS is cheap; reading PSS locks the process's memory map.

A major fault is a page that had to be read from the disk: swapped out, or of a file that is not in the page cache.
"""

import os
from pathlib import Path
from typing import Callable, Dict, Optional

from ..kernel_files import kilobytes, read_table, read_text

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def find(root: Path, pid: int) -> Optional[Callable[[], Dict[str, Optional[int]]]]:
    """Return the reader of the process's RSS."""
    statm = root / "proc" / str(pid) / "statm"
    if read_text(statm) is None:
        return None

    def read() -> Dict[str, Optional[int]]:
        words = (read_text(statm) or "").split()
        return {"rss_bytes": int(words[1]) * _PAGE_BYTES if len(words) > 1 else None}

    return read


def find_border(root: Path, pid: int) -> Callable[[], Dict[str, Optional[int]]]:
    """Return the reader for moments at which the process waits: PSS, peak RSS, and major faults so far."""
    folder = root / "proc" / str(pid)

    def read() -> Dict[str, Optional[int]]:
        return {
            "pss_bytes": kilobytes(read_table(folder / "smaps_rollup").get("Pss")),
            "peak_rss_bytes": kilobytes(read_table(folder / "status").get("VmHWM")),
            "major_faults": _major_faults(folder / "stat"),
        }

    return read


def _major_faults(stat: Path) -> Optional[int]:
    # The command's name is in brackets and may hold anything.
    words = (read_text(stat) or "").rpartition(")")[2].split()
    return int(words[9]) if len(words) > 9 and words[9].isdigit() else None
