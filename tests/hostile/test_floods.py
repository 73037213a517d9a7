"""Boards that send without end: each is refused with one line, and the host's memory stays where it was."""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from edgebench.board.transport import open_transport
from edgebench.board.transport.base import Transport
from edgebench.device import Device, load_profile
from edgebench.errors import BoardError, ConnectionFailed
from edgebench_agent import protocol
from tests.board.ssh_board import SshBoard
from tests.conftest import NewBoard
from tests.hostile.flooding_board import FloodingBoard, environment

#: The goal for every command, by `python -m benchmarks.floods`.
MOST_BYTES = 50_000_000
ENDLESS = "import os\nwhile True: os.write({descriptor}, bytes(1 << 16))"


@pytest.fixture
def board(any_ssh_board: SshBoard) -> Iterator[Transport]:
    with open_transport(any_ssh_board.device()) as transport:
        yield transport


def test_standard_error_without_end_is_refused(board: Transport) -> None:
    with pytest.raises(BoardError, match="board: the board wrote more than 32 MiB to standard error"):
        board.run([sys.executable, "-c", ENDLESS.format(descriptor=2)], timeout_s=600)


def test_standard_error_without_end_is_refused_while_output_is_awaited(board: Transport) -> None:
    stream = board.start([sys.executable, "-c", ENDLESS.format(descriptor=2)])
    with pytest.raises(BoardError, match="standard error"):
        stream.read(1, timeout_s=600)
    stream.close()
    assert board.run(["echo", "still here"]).stdout == b"still here\n"


def test_a_server_that_sends_more_than_it_was_allowed_is_refused(new_board: NewBoard) -> None:
    """paramiko would keep it all: nothing reads here, so that a true server stops after 2 MiB."""
    from tests.board.ssh_server import AsyncSshServer

    board = new_board("asyncssh")
    server = board.server
    assert isinstance(server, AsyncSshServer)
    run = server._run

    async def without_window(process: Any) -> None:
        getattr(process.channel, "_orig_chan", process.channel)._send_window = 1 << 40
        await run(process)

    server._run = without_window  # type: ignore[method-assign]
    server.change_host_key()  # listens anew, with the function above
    with open_transport(board.device()) as transport:
        stream = transport.start([sys.executable, "-c", ENDLESS.format(descriptor=1)])
        channel = stream._channel  # type: ignore[attr-defined]
        for _ in range(6000):
            if not channel.get_transport().is_active():
                break
            time.sleep(0.1)
        assert len(channel.in_buffer) < 4 << 20
        with pytest.raises(BoardError, match="more than was asked for"):
            while stream.read(1 << 16, timeout_s=60):
                pass


@contextmanager
def raw_server(speak: Callable[[socket.socket], None]) -> Iterator[Device]:
    """Provide a device whose server is a function that speaks on each connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    speak(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    port = listener.getsockname()[1]
    try:
        yield Device(name="raw", profile=load_profile("local"), host="127.0.0.1", port=port, user="pi")
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(30)


def banner_without_end(connection: socket.socket) -> None:
    sent = 0
    while sent < 64 << 20:
        sent += connection.send(b"x" * 65536)


def packet_of_a_gigabyte(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-flood\r\n" + struct.pack(">I", (1 << 30) + 4))
    sent = 0
    while sent < 64 << 20:
        sent += connection.send(bytes(65536))


@pytest.mark.parametrize(
    ("speak", "said"), [(banner_without_end, "bytes before its version"), (packet_of_a_gigabyte, "a packet of")]
)
def test_a_server_that_floods_before_the_login_is_refused(
    speak: Callable[[socket.socket], None], said: str, client_home: Path
) -> None:
    with raw_server(speak) as device, pytest.raises(ConnectionFailed, match=f"raw: .*{said}"), open_transport(device):
        pass


@pytest.mark.long
@pytest.mark.parametrize("kind", ["heartbeats", "logs", "readings", "latencies", "nested", "line", "stderr"])
def test_a_journal_without_end_is_refused_and_takes_no_memory(
    kind: str, new_board: NewBoard, client_home: Path, tiny_onnx: Path, tmp_path: Path
) -> None:
    hostile = FloodingBoard(new_board("asyncssh"), tmp_path / "hostile")
    config = client_home / ".config" / "edgebench"
    config.mkdir(parents=True)
    device = hostile.board.device(python=str(hostile.python))
    names = ("host", "port", "user", "identity_file", "host_key", "python")
    lines = [f"{name} = {json.dumps(getattr(device, name))}" for name in names]
    (config / "edgebench.toml").write_text("\n".join(["[device.board]", *lines]) + "\n")
    hostile.arm("follow", kind)
    command = [sys.executable, "-m", "edgebench", "profile", "--device", "board", "--model", str(tiny_onnx)]
    plan = ["--runs", "1", "--min-count", "20", "--min-duration", "0.2", "--no-cold", "--no-overhead"]
    flooded = hostile.run([*command, *plan], cwd=tmp_path, env=environment(client_home), most_s=240)
    assert flooded.status == 1, flooded.said
    assert flooded.grown_bytes is not None
    assert flooded.grown_bytes < MOST_BYTES, flooded
    assert "Traceback" not in flooded.said
    assert any(line.startswith("edgebench: ") for line in flooded.said.splitlines())


@pytest.mark.parametrize("number", [10**400, 2**63, -(2**63), 10**19])
def test_a_number_of_more_than_64_bits_is_no_answer(number: int) -> None:
    """A float can't hold the first, so that a division by it, of a time say, would be an internal error."""
    with pytest.raises(protocol.ProtocolError, match="more than 64 bits"):
        protocol.decode_object(b'{"ok":true,"left_ns":%d}' % number)
    assert protocol.decode_object(b'{"a":%d,"b":-9223372036854775807}' % protocol.MAX_INT)["a"] == protocol.MAX_INT
    assert protocol.decode_object(b'{"serial":"12345678901234567890123"}')


def test_lists_and_objects_without_end_are_no_answer() -> None:
    """Each takes many times its two bytes in memory."""
    with pytest.raises(protocol.ProtocolError, match="more than 65536 lists and objects"):
        protocol.decode_object(b'{"runs":[' + b"[]," * 70_000 + b"[]]}")
