"""The host of a trial: `edgebench` commands as processes, one at a time, each with a bound on its time.

As a program, it is `edgebench` with a shorter search for a board that is gone for good (10 minutes otherwise).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: In place of `edgebench.board.journal.RECONNECT_S`.
RECONNECT_S = 45.0


@dataclass(frozen=True)
class Ended:
    """How a command ended. `status`: negative: of a signal. `is_hang`: it was killed at its bound."""

    status: int
    said: str
    seconds: float
    is_hang: bool

    @property
    def last_line(self) -> str:
        lines = [line for line in self.said.splitlines() if line.strip()]
        return lines[-1] if lines else ""


class Host:
    """Runs commands in a home of its own, with a store in it."""

    def __init__(self, folder: Path, settings: str, environment: Mapping[str, str]) -> None:
        """`settings`: the content of edgebench.toml."""
        self.folder = folder
        self.store = folder / "store"
        self.process: subprocess.Popen[bytes] | None = None
        self.count = 0  # of commands that were started
        config = folder / ".config" / "edgebench" / "edgebench.toml"
        config.parent.mkdir(parents=True)
        config.write_text(settings)
        hidden = ("XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "EDGEBENCH_STORE", "EDGEBENCH_HOME")
        self._environment = {name: value for name, value in os.environ.items() if name not in hidden}
        own = {"HOME": str(folder), "EDGEBENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
        self._environment |= {**own, **environment}

    def run(self, *arguments: object, bound_s: float) -> Ended:
        """Run a command to its end, or kill it after `bound_s` (not counting time in which it is stopped by us)."""
        self.count += 1
        output = self.folder / f"command-{self.count}.log"
        command = [sys.executable, "-m", "tests.faults.host", *(str(argument) for argument in arguments)]
        began = time.monotonic()
        with output.open("wb") as file:
            file.write(f"$ edgebench {' '.join(command[3:])}\n".encode())
            file.flush()
            process = subprocess.Popen(
                command, env=self._environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=self.folder
            )
        self.process = process
        is_hang = False
        try:
            process.wait(bound_s)
        except subprocess.TimeoutExpired:
            is_hang = True
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self.process = None
        return Ended(process.returncode, output.read_text(errors="replace"), time.monotonic() - began, is_hang)

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to the command; return whether one is running."""
        process = self.process
        if process is None or process.poll() is not None:
            return False
        with suppress(ProcessLookupError):
            process.send_signal(number)
        return True

    def has_session(self) -> bool:
        """Return whether a session has begun, which can be resumed."""
        return any(self.store.glob("sessions/*.json"))

    def stored_runs(self) -> int:
        """Return how many runs are stored, or are being written now."""
        with suppress(OSError):
            return sum(1 for _ in (self.store / "runs").iterdir())
        return 0

    def close(self) -> None:
        """End what is running."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        shutil.rmtree(self.folder / "cache", ignore_errors=True)


def _main() -> None:
    from edgebench import cli
    from edgebench.board import journal

    journal.RECONNECT_S = RECONNECT_S
    cli.main()


if __name__ == "__main__":
    _main()
