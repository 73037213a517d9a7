"""A board's command that prints a sensor's value, bounded in time and output."""

import os
import select
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional, Sequence, Tuple

_TIMEOUT_S = 2
#: A command ends after so long also where this process does not live to end it.
_LEFT_BEHIND_S = 3
_GONE_S = 1  # how long to wait for a killed command
_MOST_BYTES = 1 << 16


def find_command(root: Path, places: Sequence[str]) -> Optional[str]:
    """Return the path of a command that is in one of these places below `root`, or in the PATH of the board itself."""
    found = next((str(root / place) for place in places if os.access(root / place, os.X_OK)), None)
    return found or (shutil.which(Path(places[0]).name) if root == Path("/") else None)


def command_output(*command: str) -> Optional[str]:
    """Return what a command prints.

    None: it fails, prints more than any sensor would, or does not end soon; then it is killed with its children, also
    if this process is killed meanwhile.
    """
    try:
        process = subprocess.Popen(
            (*_bound(), *command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None
    try:
        printed = _read(process, time.monotonic() + _TIMEOUT_S)
        return printed.decode("utf-8", "replace") if printed is not None and process.returncode == 0 else None
    finally:
        _end(process)


@lru_cache(maxsize=None)
def _bound() -> Tuple[str, ...]:
    """Return what to put before a command so that it ends in time by itself; empty where the board has nothing."""
    timeout = shutil.which("timeout")
    if timeout is None:
        return ()
    bound = (timeout, "-s", "KILL", str(_LEFT_BEHIND_S))
    # The options of old versions of BusyBox are others.
    tried = subprocess.run((*bound, "true"), stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return bound if tried.returncode == 0 else ()


def _read(process: Any, deadline: float) -> Optional[bytes]:
    """Return all that a process prints until it has ended; None where that is too much, or takes too long."""
    printed = b""
    while len(printed) <= _MOST_BYTES:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            return None
        data = os.read(process.stdout.fileno(), 1 << 14)
        printed += data
        if not data:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
                return printed
            return None
    return None


def _end(process: Any) -> None:
    """Kill a process that still runs, with its children; one that hangs in the kernel is left behind."""
    process.stdout.close()
    if process.returncode is None:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GONE_S)
