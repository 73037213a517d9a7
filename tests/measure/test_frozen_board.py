"""Two boards of which one freezes: its SSH server and all of the agent are stopped, and nothing says so.

The other board's session goes on to its end; Ctrl-C ends the command in time, though the frozen board never answers.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from edgebench import Store
from tests.agent.agent_board import DEADLINE_S, wait_until
from tests.board.openssh import OpenSshServer
from tests.board.ssh_board import SshBoard
from tests.conftest import NewBoard

pytestmark = [pytest.mark.openssh, pytest.mark.long]
ENDS_WITHIN_S, SECOND_WITHIN_S = 15.0, 2.0
#: For this process to see that another has ended, on a busy machine.
SLACK_S = 1.5
STUDY = """devices = ["good", "frozen"]
[study]
name = "s"
overhead = false
cold = false
[plan]
runs = 2
min_count = 20
min_duration_s = {seconds}
[[variant]]
name = "a"
model = "{model}"
[[workload]]
seq_len = 8
"""


class Desk:
    """Two boards, `good` and `frozen`, and a folder whose settings name both."""

    def __init__(self, folder: Path, good: SshBoard, frozen: SshBoard) -> None:
        self.folder = folder
        self.boards = {"good": good, "frozen": frozen}
        self.store = Store(folder / "store")
        text = ""
        for name, board in self.boards.items():
            device = board.device(python=sys.executable)
            names = ("host", "port", "user", "identity_file", "host_key", "python")
            settings = {"profile": "local", **{each: getattr(device, each) for each in names}}
            lines = [f"{each} = {json.dumps(value)}" for each, value in settings.items()]
            text += "\n".join([f"[device.{name}]", *lines, ""])
        (folder / "edgebench.toml").write_text(text)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "edgebench", *(str(each) for each in arguments), "--store", "store"]
        return subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def is_measuring(self, name: str) -> bool:
        """Whether a run that counts is timed on a board."""
        journals = self.boards[name].edgebench_home.glob("runs/*/journal.ndjson")
        return any(b'"name":"measuring"' in path.read_bytes() for path in journals if "pilot" not in path.parent.name)

    def freeze(self, *, listener: bool) -> None:
        """Stop all processes of the board `frozen`; `listener`: also the server that accepts connections."""
        board = self.boards["frozen"]
        assert isinstance(board.server, OpenSshServer)
        server = psutil.Process(board.server.pid)
        for process in [*([server] if listener else []), *server.children(recursive=True), *self._agent()]:
            with suppress(psutil.Error):
                process.suspend()

    def _agent(self) -> list[psutil.Process]:
        mark, found = str(self.boards["frozen"].edgebench_home), []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if any(word.startswith(mark) for word in process.cmdline()):
                    found.append(process)
        return found

    def thaw(self) -> None:
        """End what was stopped."""
        server = self.boards["frozen"].server
        assert isinstance(server, OpenSshServer)
        os.kill(server.pid, signal.SIGCONT)
        for process in [*psutil.Process(server.pid).children(recursive=True), *self._agent()]:
            with suppress(psutil.Error):
                process.kill()

    def complete_runs(self, name: str) -> int:
        """Return how many runs of a board came to their end."""
        found = self.store.measurements(on_unreadable=lambda _: None)
        runs = [run for each in found if each.subject.device.name == name for run in each.runs]
        return sum(run.facts.done_count is not None for run in runs)


@pytest.fixture
def desk(new_board: NewBoard, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, new_board("openssh"), new_board("openssh"))
    yield made
    made.thaw()


def start(desk: Desk, command: str, model: Path, *, seconds: float) -> subprocess.Popen[str]:
    """Start a command that uses both boards, with runs of so many seconds."""
    if command == "study run":
        (desk.folder / "STUDY.toml").write_text(STUDY.format(model=model, seconds=seconds))
        return desk.start("study", "run", "STUDY.toml")
    plan = ("--runs", 2, "--min-count", 20, "--min-duration", seconds, "--no-cold", "--no-overhead")
    return desk.start("profile", "--device", "all", "--model", model, *plan)


@pytest.mark.parametrize(
    ("command", "listener", "twice"),
    [("study run", False, False), ("study run", True, True), ("profile", True, False), ("profile", False, True)],
)
def test_the_other_board_goes_on_and_an_interrupt_ends_in_time(
    desk: Desk, tiny_onnx: Path, command: str, listener: bool, twice: bool
) -> None:
    process = start(desk, command, tiny_onnx, seconds=4)
    wait_until(lambda: (desk.is_measuring("good") and desk.is_measuring("frozen")) or process.poll() is not None)
    desk.freeze(listener=listener)
    wait_until(lambda: desk.complete_runs("good") >= 2 or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    if twice:
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
    _, said = process.communicate(timeout=DEADLINE_S)
    took_s = time.monotonic() - began
    assert process.returncode == 130, said
    assert took_s < (SECOND_WITHIN_S if twice else ENDS_WITHIN_S) + SLACK_S, said
    assert "edgebench runs resume" in said.splitlines()[-1]
    assert "Traceback" not in said
