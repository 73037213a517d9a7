"""A command of the board that tells a sensor's value: bounded in time and in what it may say."""

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Optional, Sequence

_TIMEOUT_S = 2
_MOST_BYTES = 1 << 16


def find_command(root: Path, places: Sequence[str]) -> Optional[str]:
    """Return the path of a command that is in one of these places below `root`, or in the PATH of the board itself."""
    found = next((str(root / place) for place in places if os.access(root / place, os.X_OK)), None)
    return found or (shutil.which(Path(places[0]).name) if root == Path("/") else None)


def command_output(*command: str) -> Optional[str]:
    """Return what a command prints; None where it fails or doesn't end soon (then it is killed, with its children)."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None
    try:
        printed, _ = process.communicate(timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None
    return printed[:_MOST_BYTES].decode("utf-8", "replace") if process.returncode == 0 else None
