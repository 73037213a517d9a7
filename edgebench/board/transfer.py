"""Files and bytes moved to a board and back; after a cut, the transfer goes on where it stopped."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgebench.board.commands import CHUNK_BYTES, RECONNECT_ATTEMPTS, AgentCommands, reconnecting
from edgebench.board.facts import sanitize_tail
from edgebench.board.line_reader import LineReader
from edgebench.errors import AgentError, ConnectionLost
from edgebench.reading import open_file

#: Gets how many bytes are on the board by now, and how many will be.
OnProgress = Callable[[int, int], None]


@dataclass(slots=True)
class Pushed:
    """What a push had to do: the bytes that it `moved`; `changed`: another content was there under the same name."""

    moved: int = 0
    changed: bool = False


def push_file(
    agent: AgentCommands, path: Path, *, sha256: str, size: int, on_progress: OnProgress | None = None
) -> Pushed:
    """Bring a file into a board's blob store; see `RemoteAgent.push`."""
    push = _Push(agent, sha256, size, on_progress)

    def once() -> None:
        with open_file(path) as file:
            push.send(file)

    try:
        reconnecting(agent.transport, ConnectionLost, TimeoutError).call(once)
    except (ConnectionLost, TimeoutError) as error:
        raise ConnectionLost(
            f"{agent.name}: the connection broke {RECONNECT_ATTEMPTS} times while pushing {path.name}"
        ) from error
    return push.done


def push_bytes(agent: AgentCommands, data: bytes) -> tuple[str, Pushed]:
    """Bring some bytes into a board's blob store; return their SHA-256, and what had to be done."""
    sha256 = hashlib.sha256(data).hexdigest()
    push = _Push(agent, sha256, len(data))
    try:
        reconnecting(agent.transport, ConnectionLost, TimeoutError).call(lambda: push.send(io.BytesIO(data)))
    except (ConnectionLost, TimeoutError) as error:
        raise ConnectionLost(f"{agent.name}: the connection broke while pushing inputs") from error
    return sha256, push.done


class _Push:
    """One content on its way to a board; `done` counts over all attempts."""

    def __init__(self, agent: AgentCommands, sha256: str, size: int, on_progress: OnProgress | None = None) -> None:
        self._agent = agent
        self._sha256 = sha256
        self._size = size
        self._on_progress = on_progress
        self.done = Pushed()

    def send(self, file: io.BufferedReader | io.BytesIO) -> None:
        """Send what the board does not have yet.

        Raises:
            ConnectionLost, TimeoutError: the connection broke; what arrived so far is kept on the board.
            AgentError, BoardError: as the board's answer says.
        """
        agent, size = self._agent, self._size
        stream = agent.start(["receive", self._sha256, str(size), *agent.lease_arguments()])
        try:
            replies = LineReader(stream, name=agent.name)
            reply = agent.reply(replies, stream, timeout_s=60 + size / 10e6)  # what is there may have to be read
            have = reply.get("have")
            self.done.changed |= reply.get("changed") is True
            if type(have) is not int or not 0 <= have <= size:
                raise AgentError(f"{agent.name}: the agent's answer to a push is not valid")
            file.seek(have)
            try:
                while chunk := file.read(CHUNK_BYTES):
                    stream.write(chunk)
                    self._count(len(chunk), on_board=file.tell())
                stream.end_input()
            except BrokenPipeError:
                pass  # the agent gave up: its reply says why
            if have < size or size == 0:
                # A slow card may need long to take what its cache holds.
                agent.reply(replies, stream, timeout_s=60 + size / 2e6)
        finally:
            stream.close()

    def _count(self, sent: int, *, on_board: int) -> None:
        self.done.moved += sent
        self._agent.held_lease.renewed_s = time.monotonic()  # `receive` renews it while bytes come
        if self._on_progress is not None:
            self._on_progress(on_board, self._size)


def fetch(agent: AgentCommands, run_id: str, name: str, *, limit: int) -> bytes:
    """Return the content of a run's file, of which no byte is sent twice.

    Raises:
        AgentError: it is larger than `limit` bytes, or the agent can't read it.
        ConnectionLost: the connection broke again and again.
    """
    file = io.BytesIO()
    fetch_into(agent, file, run_id, name, limit=limit)
    return file.getvalue()


def fetch_into(agent: AgentCommands, file: IO[bytes], run_id: str, name: str, *, limit: int) -> None:
    """Append the content of a run's file to an empty one, as `fetch`; OSError: it can't be written."""
    try:
        reconnecting(agent.transport, ConnectionLost, TimeoutError).call(
            lambda: _fetch_rest(agent, run_id, name, file, limit)
        )
    except (ConnectionLost, TimeoutError) as error:
        raise ConnectionLost(f"{agent.name}: the connection broke while fetching {name}") from error


def _fetch_rest(agent: AgentCommands, run_id: str, name: str, file: IO[bytes], limit: int) -> None:
    stream = agent.start(["fetch", run_id, name, str(file.tell())])
    try:
        while chunk := stream.read(CHUNK_BYTES, timeout_s=60):
            file.write(chunk)
            if file.tell() > limit:
                raise AgentError(f"{agent.name}: {name} of run {run_id} is larger than {limit} bytes")
        status = stream.wait(timeout_s=10)
        if status is None or status < 0:
            raise ConnectionLost(f"{agent.name}: the connection broke")
        if status != 0:
            raise AgentError(f"{agent.name}: can't fetch {name} of run {run_id}: {sanitize_tail(stream.stderr())}")
    finally:
        stream.close()
