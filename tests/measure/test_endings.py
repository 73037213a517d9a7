"""Signals end a command in time, whatever the board does; its last line says what was kept and how to go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from edgebench import ending
from edgebench.errors import ConnectionLost
from edgebench.export.lifetime import PARENT, module_command
from edgebench.measure import run_sessions
from edgebench.reason import ReasonCode
from edgebench.store import Store
from tests.agent.agent_board import DEADLINE_S, wait_until
from tests.measure.test_interrupt import measuring_processes
from tests.measure.watched_profile import start_watched_profile, wait_for_latencies

#: A process takes some time to start and to end on a busy machine, and the bound itself has been reached then.
_SLACK_S = 5.0


class Session:
    """`edgebench profile` on this machine, in the middle of its first run that counts."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.board = folder / "board"
        self.store = Store(folder / "store")
        options = ["--runs", "2", "--min-duration", "300", "--max-duration", "600", "--max-warmup", "0.5"]
        options += ["--no-cold", "--no-overhead"]
        self.process = start_watched_profile(
            folder,
            *("--model", model, *options, "--store", self.store.folder),
            env={**os.environ, "EDGEBENCH_HOME": str(self.board)},
        )
        wait_for_latencies(folder, "local")

    def freeze(self) -> None:
        for process in measuring_processes(self.board):
            if process.pid != self.process.pid:
                process.suspend()

    def kill_board(self) -> None:
        for process in measuring_processes(self.board):
            if process.pid != self.process.pid:
                process.kill()

    def end(self) -> tuple[list[str], float]:
        """Wait for the end; return the lines of standard error, and how long it took."""
        began = time.monotonic()
        _, err = self.process.communicate(timeout=DEADLINE_S)
        assert "Traceback" not in err
        return err.strip().splitlines(), time.monotonic() - began


@pytest.fixture
def session(tmp_path: Path, tiny_onnx: Path) -> Iterator[Session]:
    started = Session(tmp_path, tiny_onnx)
    yield started
    started.process.kill()
    started.kill_board()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_frozen_board_does_not_hold_an_interrupt_up(session: Session, number: signal.Signals) -> None:
    session.freeze()
    session.process.send_signal(number)
    lines, seconds = session.end()
    assert session.process.returncode == 130
    assert seconds < 15 + _SLACK_S
    assert "1 run, 1 of them cut short" in lines[-1] and "go on with: edgebench runs resume" in lines[-1]
    (measured,) = session.store.measurements()
    (run,) = measured.runs
    assert len(run.latencies_ns) and [reason.code for reason in run.reasons] == [ReasonCode.INTERRUPTED]


def test_a_second_interrupt_ends_at_once_and_keeps_as_much(session: Session) -> None:
    session.freeze()
    session.process.send_signal(signal.SIGINT)
    time.sleep(1.0)
    session.process.send_signal(signal.SIGINT)
    lines, seconds = session.end()
    assert session.process.returncode == 130
    assert seconds < 2 + _SLACK_S
    assert "go on with: edgebench runs resume" in lines[-1]
    (measured,) = session.store.measurements()
    assert len(measured.runs[0].latencies_ns)


def test_a_board_that_dies_leaves_what_was_received(session: Session) -> None:
    session.kill_board()
    lines, _ = session.end()
    assert session.process.returncode == 1
    assert "ended without saying how" in lines[-2]
    assert "1 run, 1 of them cut short" in lines[-1] and "go on with: edgebench runs resume" in lines[-1]
    assert len(session.store.measurements()[0].runs[0].latencies_ns)


def test_waits_of_other_threads_are_interrupted() -> None:
    waits, ended = threading.Event(), []

    def hang(*, on_event: object) -> list[object]:
        waits.set()
        try:
            ending.sleep(600)
        finally:
            ended.append(True)
        return []

    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        waits.wait()
        time.sleep(0.3)
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    began = time.monotonic()
    with ending.scope():
        results = run_sessions({"one": hang, "two": hang}, on_event=lambda *_: None)  # type: ignore[dict-item]
    assert [type(result.error) for result in results] == [KeyboardInterrupt] * 2
    assert len(ended) == 2
    assert time.monotonic() - began < 10
    assert not ending.has_begun()


def test_what_is_stored_is_not_interrupted() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), ending.scope(), ending.deferred():
        signal.raise_signal(signal.SIGINT)
        done.append("stored")
    assert done == ["stored"]
    with pytest.raises(KeyboardInterrupt), ending.scope(), ending.deferred():
        signal.raise_signal(signal.SIGINT)
        ending.sleep(600)
    with ending.scope(), ending.deferred():
        pass


def test_an_ending_cuts_every_wait() -> None:
    with ending.scope():
        ending.begin(0.3)
        began = time.monotonic()
        ending.sleep(600)
        assert not ending.wait(threading.Event().wait, 600)
        assert time.monotonic() - began < 5
        assert ending.left_s(60) == 0
    assert ending.left_s(60) == 60


_CHILD = """
import sys, time
from edgebench.export.lifetime import end_with_parent
end_with_parent()
print("up", flush=True)
time.sleep(600)
"""
_HOST = """
import os, subprocess, sys
from pathlib import Path
from edgebench.export.lifetime import PARENT, module_command
own = {**os.environ, PARENT: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
commands = [[sys.executable, "-c", sys.argv[1]], module_command(Path(sys.executable), "http.server", ["0"])]
children = [subprocess.Popen(each, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for each in commands]
for child in children:
    child.stdout.readline()
print(*[child.pid for child in children], flush=True)
children[0].wait()
"""


def test_workers_end_with_a_host_that_is_killed() -> None:
    host = subprocess.Popen([sys.executable, "-c", _HOST, _CHILD], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    pids = [int(pid) for pid in host.stdout.readline().split()]
    host.kill()
    host.wait()
    host.stdout.close()
    assert len(pids) == 2
    wait_until(lambda: not any(map(runs, pids)))


def runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_worker_whose_host_is_gone_already_does_not_begin() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    code = "from edgebench.export.lifetime import end_with_parent; end_with_parent(); print('goes on')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, PARENT: str(gone.pid)}, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"")
    command = module_command(Path(sys.executable), "this", [])
    command[command.index(str(os.getpid()))] = str(gone.pid)
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_a_killed_command_is_run_again(tmp_path: Path) -> None:
    from edgebench.board.commands import AgentCommands
    from edgebench.board.transport.local import LocalTransport
    from edgebench.device import find_device

    script = tmp_path / "agent.sh"
    count = tmp_path / "count"
    script.write_text(f"echo x >> {count}; [ $(wc -l < {count}) -gt $1 ] || kill -9 $$; echo '{{\"ok\": true}}'\n")
    agent = AgentCommands(LocalTransport(find_device("local")), python="/bin/sh", path=str(script))
    assert agent.command(["2"], timeout_s=60) == {"ok": True}
    count.unlink()
    with pytest.raises(Exception, match="gave no answer") as error:
        agent.command(["9"], timeout_s=60)
    assert not isinstance(error.value, ConnectionLost)
    assert len(count.read_text().split()) == 3
