"""What happens when the way to a board breaks, or falls silent."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edgebench.board.transport import open_transport
from edgebench.board.transport.base import Stream
from edgebench.errors import ConnectionLost
from tests.board.ssh_board import SshBoard
from tests.board.test_connecting import jump_config, known_host
from tests.board.test_ssh_commands import wait_until
from tests.conftest import NewBoard


def test_a_cut_while_reading_is_a_lost_connection_not_an_end(any_ssh_board: SshBoard) -> None:
    transport = open_transport(any_ssh_board.device())
    transport.connect()
    stream = transport.start(["sh", "-c", "echo begun; exec cat"])
    assert stream.read(100, timeout_s=60) == b"begun\n"
    any_ssh_board.cut()
    with pytest.raises(ConnectionLost, match="board: the connection broke"):
        stream.read(100, timeout_s=60)
    with pytest.raises(ConnectionLost):
        stream.wait(timeout_s=60)
    with pytest.raises(ConnectionLost):
        transport.start(["true"])
    stream.close()
    transport.reconnect()
    assert transport.run(["echo", "back"]).stdout == b"back\n"
    transport.close()


def test_a_cut_in_the_middle_of_output_is_not_an_end(any_ssh_board: SshBoard) -> None:
    with open_transport(any_ssh_board.device()) as transport:
        stream = transport.start(["cat", "/dev/zero"])
        assert stream.read(1 << 16, timeout_s=60)
        any_ssh_board.cut()
        with pytest.raises(ConnectionLost):
            while stream.read(1 << 20, timeout_s=60):
                pass


def test_a_cut_while_writing_is_a_lost_connection(any_ssh_board: SshBoard) -> None:
    with open_transport(any_ssh_board.device()) as transport:
        stream = transport.start(["sh", "-c", "cat >/dev/null"])
        any_ssh_board.proxy.cut_after(1 << 20)
        with pytest.raises(ConnectionLost):
            for _ in range(200):
                stream.write(bytes(1 << 20))


def test_a_cut_before_the_command_ends_is_a_lost_connection_for_run(any_ssh_board: SshBoard) -> None:
    with open_transport(any_ssh_board.device()) as transport:
        timer = threading.Timer(0.3, any_ssh_board.cut)
        timer.start()
        with pytest.raises(ConnectionLost):
            transport.run(["sh", "-c", "echo half; sleep 5; echo rest"])
        timer.join()


def test_a_server_that_drops_the_connection_is_a_lost_connection(ssh_board: SshBoard) -> None:
    with open_transport(ssh_board.device()) as transport:
        stream = transport.start(["cat"])
        ssh_board.server.cut()  # type: ignore[attr-defined]
        with pytest.raises(ConnectionLost):
            stream.read(100, timeout_s=60)


def test_a_silent_board_is_met_by_the_deadline_and_goes_on_after_it(any_ssh_board: SshBoard) -> None:
    with open_transport(any_ssh_board.device()) as transport:
        stream = transport.start(["cat"])
        any_ssh_board.proxy.pause()
        stream.write(b"hello")
        with pytest.raises(TimeoutError):
            stream.read(100, timeout_s=0.5)
        any_ssh_board.proxy.resume()
        assert stream.read(100, timeout_s=60) == b"hello"


def test_starting_a_command_on_a_silent_board_ends(ssh_board: SshBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgebench.board.transport.ssh.limits.ANSWER_S", 0.5)
    with open_transport(ssh_board.device()) as transport:
        ssh_board.proxy.pause()
        with pytest.raises(ConnectionLost):
            transport.start(["true"])


def test_a_board_that_takes_nothing_ends_a_write(any_ssh_board: SshBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgebench.board.transport.ssh.limits.WRITE_STALL_S", 1.0)
    with open_transport(any_ssh_board.device()) as transport:
        stream = transport.start(["cat"])
        any_ssh_board.proxy.pause()
        with pytest.raises(ConnectionLost):
            write_for_ever(stream)


def test_a_board_behind_a_jump_host_that_takes_nothing_ends_a_write(
    new_board: NewBoard, client_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgebench.board.transport.ssh.limits.WRITE_STALL_S", 1.0)
    monkeypatch.setattr("edgebench.board.transport.ssh.limits.DEAD_LINK_MS", 1000)
    jump, board = new_board("asyncssh"), new_board("asyncssh")
    (client_home / ".ssh" / "known_hosts").write_text(known_host(jump))
    (client_home / ".ssh" / "config").write_text(jump_config(jump, "door") + "Host 127.0.0.1\n  ProxyJump door\n")
    with open_transport(board.device()) as transport:
        for silent in (board, jump):
            stream = transport.start(["cat"])
            silent.proxy.pause()
            with pytest.raises(ConnectionLost):
                write_for_ever(stream)
            silent.proxy.resume()
            transport.reconnect()


def write_for_ever(stream: Stream) -> None:
    while True:
        stream.write(bytes(1 << 20))


def test_closing_ends_although_the_board_is_silent(any_ssh_board: SshBoard) -> None:
    before = set(threading.enumerate())
    transport = open_transport(any_ssh_board.device())
    transport.connect()
    transport.start(["cat"])
    any_ssh_board.proxy.pause()
    transport.close()
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_closing_ends_a_write_of_another_thread(any_ssh_board: SshBoard) -> None:
    transport = open_transport(any_ssh_board.device())
    transport.connect()
    stream = transport.start(["cat"])
    ended = threading.Event()

    def write() -> None:
        with pytest.raises((ConnectionLost, BrokenPipeError)):
            write_for_ever(stream)
        ended.set()

    any_ssh_board.proxy.pause()
    thread = threading.Thread(target=write)
    thread.start()
    transport.close()
    assert ended.wait(60)
    thread.join()


def test_a_throttled_link_is_slow_but_whole(ssh_board: SshBoard) -> None:
    data = bytes(range(256)) * 2048
    ssh_board.proxy.throttle(2_000_000)
    with open_transport(ssh_board.device()) as transport:
        assert transport.run(["cat"], input=data, timeout_s=120).stdout == data
