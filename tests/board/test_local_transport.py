"""This machine as a board: commands are subprocesses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgebench.board.transport import Transport, open_transport
from edgebench.device import Device, load_profile
from edgebench.errors import BoardError, ConnectionLost


@pytest.fixture
def local() -> Iterator[Transport]:
    with open_transport(Device(name="local", profile=load_profile("local"))) as transport:
        yield transport


def test_this_machine_shares_its_files(local: Transport) -> None:
    assert local.shares_files


def test_arguments_arrive_as_they_are(local: Transport, tmp_path: Path) -> None:
    hard = ["", "a b", "it's", '"', "$(touch pwned)", "`id`", "; &", "line\nline", "-x", "ภาษาไทย", "*"]
    result = local.run([sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *hard])
    assert json.loads(result.stdout) == hard


def test_an_argument_with_a_nul_is_refused(local: Transport) -> None:
    with pytest.raises(ValueError, match="null byte"):
        local.run(["printf", "a\0b"])


def test_status_signal_output_and_errors_come_back(local: Transport) -> None:
    result = local.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (result.status, result.stdout, result.stderr) == (3, b"out\n", b"err\n")
    assert local.run(["sh", "-c", "kill -KILL $$"]).status == -9


def test_a_missing_command_is_status_127_as_over_ssh(local: Transport) -> None:
    result = local.run(["/no-such-command-anywhere"])
    assert result.status == 127
    assert b"no-such-command-anywhere" in result.stderr


def test_the_environment_is_passed_on(local: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBENCH_HOME", "/somewhere/else")
    assert local.run(["sh", "-c", 'printf %s "$EDGEBENCH_HOME"']).stdout == b"/somewhere/else"


def test_fifty_megabytes_go_there_and_back(local: Transport) -> None:
    data = bytes(range(256)) * (50 << 12)
    result = local.run(["cat"], input=data, timeout_s=240)
    assert result.stdout == data


def test_a_flood_of_errors_blocks_nothing_and_keeps_its_end(local: Transport) -> None:
    data = bytes(4 << 20)
    result = local.run(["sh", "-c", "head -c 8000000 /dev/zero >&2; cat; echo the end >&2"], input=data, timeout_s=240)
    assert result.stdout == data
    assert result.stderr.endswith(b"the end\n")
    assert len(result.stderr) <= 64 << 10


def test_a_stream_talks_both_ways(local: Transport) -> None:
    stream = local.start(["cat"])
    stream.write(b"one")
    assert stream.read(100, timeout_s=60) == b"one"
    with pytest.raises(TimeoutError):
        stream.read(100, timeout_s=0.05)
    assert stream.wait(timeout_s=0.05) is None
    stream.write(memoryview(b"two"))
    stream.end_input()
    assert stream.read(100, timeout_s=60) == b"two"
    assert stream.read(100, timeout_s=60) == b""
    assert stream.wait(timeout_s=60) == 0
    with pytest.raises(BrokenPipeError):
        stream.write(b"three")
    stream.close()
    stream.close()


def test_writing_to_a_command_that_ended_is_a_broken_pipe(local: Transport) -> None:
    stream = local.start(["true"])
    assert stream.wait(timeout_s=60) == 0
    with pytest.raises(BrokenPipeError):
        stream.write(bytes(1 << 20))


@pytest.mark.slow
def test_closing_ends_a_blocked_write_of_another_thread(local: Transport) -> None:
    stream = local.start(["sh", "-c", "echo ready; exec sleep 5"])
    assert stream.read(100, timeout_s=60) == b"ready\n"
    ended = threading.Event()

    def write() -> None:
        with pytest.raises(BrokenPipeError):
            stream.write(bytes(8 << 20))
        ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    stream.close()
    thread.join(60)
    assert ended.is_set()


@pytest.mark.slow
def test_a_command_that_does_not_end_is_given_up_and_ended(local: Transport, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(ConnectionLost, match="did not end within"):
        local.run(["sh", "-c", f"echo $$ > {pid_file}; exec sleep 600"], timeout_s=0.5)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_output_past_the_limit_is_an_error(local: Transport) -> None:
    with pytest.raises(BoardError, match="more than 1000000 bytes"):
        local.run(["cat", "/dev/zero"], limit_bytes=1_000_000)


def test_closing_the_transport_ends_its_commands(local: Transport) -> None:
    before = set(threading.enumerate())
    stream = local.start(["sh", "-c", "echo $$; exec cat"])
    pid = int(stream.read(100, timeout_s=60))
    local.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert set(threading.enumerate()) <= before


def test_a_detached_child_neither_blocks_nor_dies_with_its_stream(local: Transport, tmp_path: Path) -> None:
    """The agent's launch leaves a run behind; it must outlive the command that started it."""
    outlived = tmp_path / "outlived"
    detach = (
        "import subprocess, sys; subprocess.Popen(['sh', '-c', 'sleep 0.5; touch \"$0\"', sys.argv[1]], "
        "start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)"
    )
    assert local.run([sys.executable, "-c", detach, str(outlived)]).status == 0
    local.close()
    deadline = time.monotonic() + 600
    while not outlived.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


FOLLOWS = """
import os, signal
from edgebench.device import Device, load_profile
from edgebench.board.transport import open_transport

with open_transport(Device(name="local", profile=load_profile("local"))) as board:
    stream = board.start(["cat"])
    try:
        os.killpg(0, signal.SIGINT)  # what a terminal's Ctrl-C sends
        while True:
            stream.read(1, timeout_s=60)
    except KeyboardInterrupt:
        stream.write(b"still there")
        print(stream.read(100, timeout_s=60).decode())
"""


def test_ctrl_c_reaches_the_host_but_not_its_commands() -> None:
    result = subprocess.run(
        [sys.executable, "-c", FOLLOWS], capture_output=True, text=True, timeout=600, start_new_session=True
    )
    assert result.stdout == "still there\n", result.stderr


def test_the_factory_loads_no_ssh_for_this_machine() -> None:
    program = (
        "import sys; from edgebench.device import find_device; from edgebench.board.transport import open_transport; "
        "open_transport(find_device('local')); print(sorted({'fabric', 'paramiko', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=600)
    assert result.stdout == "[]\n"
