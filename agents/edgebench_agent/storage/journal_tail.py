"""Facts about a growing journal that need no decoding: its complete lines, and whether it has a writer."""

import fcntl
import os
from pathlib import Path


def complete_lines(data: bytes) -> bytes:
    """Return data without the incomplete line at its end."""
    return data[: data.rfind(b"\n") + 1]


def has_writer(path: Path) -> bool:
    """Say whether the process that writes this journal is alive."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
