"""Small files that the kernel answers, under a root that tests may replace by a recorded tree."""

from pathlib import Path
from typing import Dict, Optional


def read_text(path: Path, limit: int = 1 << 16) -> Optional[str]:
    """Return what a file of /proc or /sys says, stripped; None where it is absent or gives no answer."""
    try:
        with path.open("rb", buffering=0) as file:
            data = b""
            while len(data) < limit:
                chunk = file.read(limit - len(data))
                if not chunk:
                    break
                data += chunk
    except OSError:
        return None
    return data.decode("utf-8", "replace").strip("\0\n\t ")


def read_int(path: Path) -> Optional[int]:
    """Return the number that a file holds, or None."""
    text = read_text(path, limit=64)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


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
