"""A real scheduler and real benches on this machine, for tests and benchmarks; each is a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_START_S = 90.0


@dataclass
class Cluster:
    """A scheduler and its benches; `folder` has their output."""

    folder: Path
    address: str = ""
    scheduler: subprocess.Popen[bytes] | None = None
    benches: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def executor(self) -> str:
        """The address as `--executor` takes it."""
        return self.address.replace("tcp://", "dask://")

    def start_scheduler(self, *options: str) -> None:
        """Start a scheduler on a free port."""
        file = self.folder / "scheduler.json"
        command = ["-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        self.scheduler = self._start("scheduler", [*command, "--scheduler-file", str(file), *options])
        _wait(lambda: file.is_file() and file.stat().st_size > 0, self.scheduler)
        self.address = json.loads(file.read_text())["address"]

    def start_bench(self, name: str, boards: Sequence[str], *options: str) -> subprocess.Popen[bytes]:
        """Start a bench with simulated boards, and wait until it offers them."""
        named = [word for board in boards for word in ("--board", board)]
        command = ["-m", "tests.benches.simulated_bench", self.address, "--name", name, *named, *options]
        return self.start(name, command)

    def start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a bench by a command of Python, and wait until it offers its boards."""
        bench = self._start(name, command)
        self.benches.append(bench)
        _wait(lambda: " offers " in self.output(name), bench)
        return bench

    def output(self, name: str) -> str:
        """Return what a process has printed."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen([sys.executable, *command], stdout=log, stderr=log, env=environment)

    def stop(self) -> None:
        """End what still runs."""
        for process in self.benches:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in (*self.benches, *([self.scheduler] if self.scheduler else [])):
            try:
                process.wait(1 if process is self.scheduler else 15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def cluster(folder: Path, *, scheduler: bool = True) -> Iterator[Cluster]:
    """Start a scheduler; at the end everything is stopped."""
    made = Cluster(folder)
    try:
        if scheduler:
            made.start_scheduler()
        yield made
    finally:
        made.stop()


def _wait(is_ready: object, process: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + _START_S
    while not is_ready():  # type: ignore[operator]
        if process.poll() is not None or time.monotonic() > until_s:
            raise AssertionError(f"{process.args} did not start: {process.poll()}")
        time.sleep(0.05)
