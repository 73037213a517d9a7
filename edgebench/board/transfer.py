"""Files and bytes brought into a board's blob store; what is there already is not sent again."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable
from pathlib import Path

from edgebench.board.commands import CHUNK_BYTES, RECONNECT_ATTEMPTS, AgentCommands
from edgebench.board.line_reader import LineReader
from edgebench.errors import AgentError, ConnectionLost

#: Gets how many bytes are on the board by now, and how many will be.
OnProgress = Callable[[int, int], None]


def push_file(
    agent: AgentCommands, path: Path, *, sha256: str, size: int, on_progress: OnProgress | None = None
) -> int:
    """Bring a file to a board; return how many bytes had to be moved. See `RemoteAgent.push`."""
    moved = 0
    for attempt in range(RECONNECT_ATTEMPTS):
        try:
            with path.open("rb") as file:
                return moved + _push_once(agent, file, sha256, size, on_progress)
        except _Interrupted as cut:
            moved += cut.moved
            if attempt == RECONNECT_ATTEMPTS - 1:
                raise ConnectionLost(
                    f"{agent.name}: the connection broke {RECONNECT_ATTEMPTS} times while pushing {path.name}"
                ) from cut
            agent.reconnect(attempt)
    raise AssertionError("unreachable")


def push_bytes(agent: AgentCommands, data: bytes) -> str:
    """Bring some bytes to a board; return their SHA-256."""
    sha256 = hashlib.sha256(data).hexdigest()
    for attempt in range(RECONNECT_ATTEMPTS):
        try:
            _push_once(agent, io.BytesIO(data), sha256, len(data))
            return sha256
        except _Interrupted as cut:
            if attempt == RECONNECT_ATTEMPTS - 1:
                raise ConnectionLost(f"{agent.name}: the connection broke while pushing inputs") from cut
            agent.reconnect(attempt)
    raise AssertionError("unreachable")


def _push_once(
    agent: AgentCommands,
    file: io.BufferedReader | io.BytesIO,
    sha256: str,
    size: int,
    on_progress: OnProgress | None = None,
) -> int:
    moved = 0
    try:
        stream = agent.start(["receive", sha256, str(size), *agent.under_lease()])
        try:
            replies = LineReader(stream)
            have = agent.reply(replies, stream, timeout_s=60 + size / 20e6).get("have")
            if type(have) is not int or not 0 <= have <= size:
                raise AgentError(f"{agent.name}: the agent's answer to a push is not valid")
            file.seek(have)
            try:
                while chunk := file.read(CHUNK_BYTES):
                    stream.write(chunk)
                    moved += len(chunk)
                    agent.renewed_s = time.monotonic()  # `receive` renews while bytes come
                    if on_progress is not None:
                        on_progress(have + moved, size)
                stream.end_input()
            except BrokenPipeError:
                pass  # the agent gave up: its reply says why
            if have < size or size == 0:
                # A slow card may need long to take what its cache holds.
                agent.reply(replies, stream, timeout_s=60 + size / 2e6)
            return moved
        finally:
            stream.close()
    except (ConnectionLost, TimeoutError) as error:
        raise _Interrupted(moved) from error


class _Interrupted(Exception):
    """A push ended with its connection, after `moved` bytes."""

    def __init__(self, moved: int) -> None:
        super().__init__(moved)
        self.moved = moved
