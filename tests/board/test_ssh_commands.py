"""Commands over SSH: what goes in arrives, what comes out comes back, whatever it is."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from edgebench.board.transport import Transport, open_transport
from edgebench.errors import BoardError, ConnectionLost
from tests.board.ssh_board import SshBoard

ECHO_ARGUMENTS = "import json, sys; print(json.dumps(sys.argv[1:]))"

HARD_ARGUMENTS = [
    "",
    "two words",
    "it's",
    'a "quoted" word',
    "line one\nline two\n",
    "$(touch pwned) `touch pwned` $HOME ${PATH}",
    "; touch pwned",
    "| & > < * ? [a-z] ! # ~ \\ \\n \t",
    "-n",
    "Kiswahili ni lugha ya Kibantu; ภาษาไทย; Yorùbá; 🙂",
    "x" * 20_000,
]


@pytest.fixture
def board(any_ssh_board: SshBoard) -> Iterator[Transport]:
    with open_transport(any_ssh_board.device()) as transport:
        yield transport


def test_arguments_arrive_as_they_are(board: Transport, any_ssh_board: SshBoard) -> None:
    result = board.run([sys.executable, "-c", ECHO_ARGUMENTS, *HARD_ARGUMENTS])
    assert json.loads(result.stdout) == HARD_ARGUMENTS
    assert not list(any_ssh_board.home.rglob("pwned"))


def test_an_argument_with_a_nul_is_refused(board: Transport) -> None:
    with pytest.raises(ValueError, match="NUL"):
        board.run(["printf", "a\0b"])


def test_status_output_and_errors_come_back(board: Transport) -> None:
    result = board.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (result.status, result.stdout, result.stderr) == (3, b"out\n", b"err\n")


def test_a_signal_is_a_status_below_zero(board: Transport) -> None:
    assert board.run(["sh", "-c", "kill -KILL $$"]).status == -9
    assert board.run(["sh", "-c", "kill -HUP $$"]).status == -1


def test_a_missing_command_is_status_127(board: Transport) -> None:
    result = board.run(["/no-such-command-anywhere"])
    assert result.status == 127
    assert b"no-such-command-anywhere" in result.stderr


def test_commands_see_the_home_of_the_board(board: Transport, any_ssh_board: SshBoard) -> None:
    result = board.run(["sh", "-c", 'printf %s "$EDGEBENCH_HOME"'])
    assert result.stdout.decode() == str(any_ssh_board.edgebench_home)


def test_fifty_megabytes_go_there_and_back(board: Transport) -> None:
    data = bytes(range(256)) * (50 << 12)
    assert len(data) == 50 << 20
    result = board.run(["cat"], input=data, timeout_s=240)
    assert result.status == 0
    assert result.stdout == data


def test_output_past_the_limit_is_an_error(board: Transport) -> None:
    with pytest.raises(BoardError, match="more than 1000000 bytes"):
        board.run(["cat", "/dev/zero"], limit_bytes=1_000_000)
    assert board.run(["echo", "still here"]).stdout == b"still here\n"


def test_a_flood_of_errors_blocks_nothing_and_keeps_its_end(board: Transport) -> None:
    flood = "head -c 8000000 /dev/zero >&2; cat; echo the end >&2"
    data = bytes(4 << 20)
    result = board.run(["sh", "-c", flood], input=data, timeout_s=240)
    assert result.stdout == data
    assert result.stderr.endswith(b"the end\n")
    assert len(result.stderr) <= 64 << 10


def test_a_stream_talks_both_ways(board: Transport) -> None:
    stream = board.start(["cat"])
    for word in (b"one", b"two"):
        stream.write(word)
        assert stream.read(100, timeout_s=60) == word
    with pytest.raises(TimeoutError):
        stream.read(100, timeout_s=0.05)
    stream.write(memoryview(b"three"))
    assert stream.read(100, timeout_s=60) == b"three"
    stream.end_input()
    assert stream.read(100, timeout_s=60) == b""
    assert stream.wait(timeout_s=60) == 0
    stream.close()


def test_a_status_that_is_not_there_yet_is_none(board: Transport) -> None:
    stream = board.start(["cat"])
    assert stream.wait(timeout_s=0.05) is None
    stream.close()


def test_writing_to_a_command_that_ended_is_a_broken_pipe(board: Transport) -> None:
    stream = board.start(["true"])
    assert stream.wait(timeout_s=60) == 0
    with pytest.raises(BrokenPipeError):
        for _ in range(1000):
            stream.write(bytes(1 << 20))
    stream.close()


def test_closing_a_stream_ends_the_input_of_its_command(board: Transport, any_ssh_board: SshBoard) -> None:
    stream = board.start(["sh", "-c", 'cat >/dev/null; touch "$HOME/input-ended"'])
    stream.close()
    wait_until(lambda: (any_ssh_board.home / "input-ended").exists())


def test_several_commands_run_at_a_time(board: Transport) -> None:
    streams = [board.start(["cat"]) for _ in range(4)]
    for number, stream in enumerate(streams):
        stream.write(b"%d" % number)
    assert [stream.read(10, timeout_s=60) for stream in streams] == [b"0", b"1", b"2", b"3"]
    for stream in streams:
        stream.close()


def test_a_command_that_does_not_end_is_given_up(board: Transport) -> None:
    with pytest.raises(ConnectionLost, match="did not end within"):
        board.run(["sh", "-c", "sleep 5"], timeout_s=0.3)


def test_closing_leaves_no_thread_behind(any_ssh_board: SshBoard) -> None:
    before = set(threading.enumerate())
    with open_transport(any_ssh_board.device()) as transport:
        transport.run(["true"])
        transport.start(["cat"])
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_a_closed_way_says_so_and_opens_again(any_ssh_board: SshBoard) -> None:
    transport = open_transport(any_ssh_board.device())
    with pytest.raises(ConnectionLost, match="no connection"):
        transport.start(["true"])
    transport.connect()
    transport.connect()
    assert transport.run(["true"]).status == 0
    transport.close()
    transport.close()
    transport.reconnect()
    assert transport.run(["true"]).status == 0
    transport.close()


def wait_until(condition, *, within_s: float = 60.0) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.02)
