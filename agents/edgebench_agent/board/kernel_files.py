"""Small files that the kernel answers, under a root that tests may replace by a recorded tree."""

import os
import re
from pathlib import Path
from typing import Dict, Optional

_MOST = 10**18  # more is no count of anything, and would not pass the wire


def read_text(path: Path, limit: int = 1 << 16) -> Optional[str]:
    """Return what a file of /proc or /sys says, stripped; None where it is absent or gives no answer."""
    try:
        # A pipe or a device where a file should be does not answer; it must not make us wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    data = b""
    try:
        while len(data) < limit:
            chunk = os.read(descriptor, limit - len(data))
            if not chunk:
                break
            data += chunk
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return data.decode("utf-8", "replace").strip("\0\n\t ")


def read_int(path: Path) -> Optional[int]:
    """Return the number that a file holds, or None."""
    text = read_text(path, limit=64)
    if text is None or not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        return None
    value = int(text)
    return value if abs(value) <= _MOST else None


def read_table(path: Path, separator: str = ":") -> Dict[str, str]:
    """Return the `key: value` lines of a file, the first of each key; empty where it is absent."""
    table: Dict[str, str] = {}
    for line in (read_text(path) or "").splitlines():
        key, found, value = line.partition(separator)
        if found:
            table.setdefault(key.strip(), value.strip())
    return table


def boot_id(root: Path = Path("/")) -> Optional[str]:
    """Return what tells this boot from every other."""
    return read_text(root / "proc/sys/kernel/random/boot_id")


def kilobytes(text: Optional[str]) -> Optional[int]:
    """Return the bytes of a value such as `3884 kB`, or None."""
    words = (text or "").split()
    return int(words[0]) * 1024 if len(words) == 2 and words[0].isdigit() and words[1] == "kB" else None
