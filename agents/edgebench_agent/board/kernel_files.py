"""Small files of /proc and /sys, below a root that tests replace by a recorded tree."""

import os
import re
from pathlib import Path
from typing import Dict, Optional

_MAX_VALUE = 10**18  # more is no real quantity, and does not fit into a message


def read_text(path: Path, limit: int = 1 << 16) -> Optional[str]:
    """Return the text of a file of /proc or /sys, stripped; None: it is absent or can't be read."""
    try:
        # A pipe or a device in place of the file must not block.
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
    """Return the number in a file, or None."""
    text = read_text(path, limit=64)
    if text is None or not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        return None
    value = int(text)
    return value if abs(value) <= _MAX_VALUE else None


def read_table(path: Path, separator: str = ":") -> Dict[str, str]:
    """Return the `key: value` lines of a file, the first of each key; empty where it is absent."""
    table: Dict[str, str] = {}
    for line in (read_text(path) or "").splitlines():
        key, found, value = line.partition(separator)
        if found:
            table.setdefault(key.strip(), value.strip())
    return table


def boot_id(root: Path = Path("/")) -> Optional[str]:
    """Return the unique id of this boot."""
    return read_text(root / "proc/sys/kernel/random/boot_id")


def kilobytes(text: Optional[str]) -> Optional[int]:
    """Return the bytes of a value such as `3884 kB`, or None."""
    words = (text or "").split()
    return int(words[0]) * 1024 if len(words) == 2 and words[0].isdigit() and words[1] == "kB" else None
