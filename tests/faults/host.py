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
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]
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
        self.process: subprocess.Popen[bytes] | None = None  # of the session's command that runs now
        self.begun = self.ended = 0  # commands of the session
        self._logs = 0
        config = folder / ".config" / "edgebench" / "edgebench.toml"
        config.parent.mkdir(parents=True)
        config.write_text(settings)
        hidden = ("XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "EDGEBENCH_STORE", "EDGEBENCH_HOME")
        self._environment = {name: value for name, value in os.environ.items() if name not in hidden}
        python_path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        own = {"HOME": str(folder), "EDGEBENCH_CACHE": str(folder / "cache"), "PYTHONPATH": python_path}
        self._environment |= {**own, **environment}

    def run(self, *arguments: object, bound_s: float) -> Ended:
        """Run a command of the session to its end, or kill it after `bound_s`."""
        process, output = self._start(arguments)
        self.process = process
        self.begun += 1
        try:
            return _end(process, output, bound_s)
        finally:
            self.process = None
            self.ended += 1

    def run_aside(self, *arguments: object, bound_s: float) -> Ended:
        """Run a command that is not one of the session, and meets no fault."""
        return _end(*self._start(arguments), bound_s)

    def _start(self, arguments: Sequence[object]) -> tuple[subprocess.Popen[bytes], Path]:
        self._logs += 1
        output = self.folder / f"command-{self._logs}.log"
        command = [sys.executable, "-m", "tests.faults.host", *(str(argument) for argument in arguments)]
        with output.open("wb") as file:
            file.write(f"$ edgebench {' '.join(command[3:])}\n".encode())
            file.flush()
            process = subprocess.Popen(
                command, env=self._environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=self.folder
            )
        return process, output

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


def _end(process: subprocess.Popen[bytes], output: Path, bound_s: float) -> Ended:
    """Wait for the end of a command, or kill it; a command that we have stopped goes on before its bound."""
    began = time.monotonic()
    is_hang = False
    try:
        process.wait(bound_s)
    except subprocess.TimeoutExpired:
        is_hang = True
        process.kill()
        process.wait()
    return Ended(process.returncode, output.read_text(errors="replace"), time.monotonic() - began, is_hang)


def _main() -> None:
    from edgebench import cli
    from edgebench.board import journal

    journal.RECONNECT_S = RECONNECT_S
    cli.main()


if __name__ == "__main__":
    _main()
