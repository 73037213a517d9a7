"""The agent's commands over a connection that may break: given again after a cut, their answers checked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from edgebench.board.facts import sanitize_tail
from edgebench.board.line_reader import LineReader
from edgebench.board.transport.base import CommandResult, Stream, Transport
from edgebench.errors import (
    AgentError,
    AuthenticationError,
    BoardBusy,
    BoardError,
    ConnectionFailed,
    ConnectionLost,
    HostKeyError,
    LeaseLost,
)
from edgebench_agent import protocol

RECONNECT_ATTEMPTS = 8
CHUNK_BYTES = 1 << 18


class AgentCommands:
    """The commands of one board's agent, reached through a transport.

    `name` is the device's, for messages; `python` the board's interpreter.
    """

    def __init__(self, transport: Transport, *, name: str, python: str) -> None:
        self.transport = transport
        self.name = name
        self.python = python
        self.path: str | None = None  # of the agent's file on the board, once that is there
        self.lease_token = 0  # of the board's lease that runs and pushes are under; 0: none
        self.renewed_s = 0.0  # when the lease was renewed last, by whatever we do; time.monotonic

    def start(self, arguments: Sequence[str]) -> Stream:
        """Start a command whose output is read as it comes.

        Raises:
            ConnectionLost.
        """
        return self.transport.start(self._argv(arguments))

    def command(
        self, arguments: Sequence[str], *, input: bytes = b"", timeout_s: float, python: str | None = None
    ) -> dict[str, Any]:
        """Give a command and return its one answer; `python` runs it instead of the board's interpreter.

        Raises:
            BoardError, BoardBusy, LeaseLost: as the answer says.
            AgentError: there is no valid answer.
            ConnectionLost: the connection broke again and again.
        """
        result = self.run(self._argv(arguments, python), input=input, timeout_s=timeout_s)
        line = result.stdout.strip().rpartition(b"\n")[2]
        if not line:
            said = sanitize_tail(result.stderr)
            raise AgentError(f"{self.name}: the agent's {arguments[0]} gave no answer (status {result.status}): {said}")
        return self._checked_reply(line)

    def run(self, argv: Sequence[str], *, input: bytes, timeout_s: float) -> CommandResult:
        """Run a program to its end, again where the connection breaks: none of ours does harm when run twice."""
        deadline = time.monotonic() + timeout_s
        attempt = 0
        while True:
            try:
                return self.transport.run(argv, input=input, timeout_s=max(1.0, deadline - time.monotonic()))
            except ConnectionLost:
                attempt += 1
                if attempt == RECONNECT_ATTEMPTS or time.monotonic() > deadline:
                    raise
                self.reconnect(attempt - 1)

    def reply(self, lines: LineReader, stream: Stream, *, timeout_s: float) -> dict[str, Any]:
        """Return the next answer of a command that was started.

        Raises:
            TimeoutError: it did not come in time.
            And as `command`.
        """
        line = lines.line(timeout_s=timeout_s)
        if not line:
            status = stream.wait(timeout_s=5)
            if status is None or status < 0:
                raise ConnectionLost(f"{self.name}: the connection broke")
            raise AgentError(f"{self.name}: the agent ended early (status {status}): {sanitize_tail(stream.stderr())}")
        return self._checked_reply(line)

    def reconnect(self, attempt: int) -> None:
        """Open the connection anew, after a pause that grows with the attempts that failed.

        Raises:
            HostKeyError, AuthenticationError: trying again does not help.
        """
        time.sleep(min(0.2 * 2**attempt, 10.0))
        try:
            self.transport.reconnect()
        except (HostKeyError, AuthenticationError):
            raise
        except (ConnectionFailed, ConnectionLost):
            return  # the next attempt meets the same and is counted

    def under_lease(self) -> list[str]:
        """Return the arguments that have a command refused once the board is somebody else's."""
        return ["--lease", str(self.lease_token)] if self.lease_token else []

    def _argv(self, arguments: Sequence[str], python: str | None = None) -> list[str]:
        if self.path is None:
            raise RuntimeError("RemoteAgent.install() was not called")
        return [python or self.python, self.path, *arguments]

    def _checked_reply(self, line: bytes) -> dict[str, Any]:
        try:
            reply = protocol.decode_object(line)
        except protocol.ProtocolError as error:
            raise AgentError(f"{self.name}: the agent's answer is not valid: {error}") from error
        if reply.get("ok") is True:
            return reply
        kind = reply.get("kind")
        message = sanitize_tail(reply.get("message", "no reason given"))
        if kind == "interrupted":  # what was sent stopped coming in: the same as a cut
            raise ConnectionLost(f"{self.name}: {message}")
        if kind == "busy":
            raise BoardBusy(f"{self.name}: {message}")
        if kind == "lease_lost":
            raise LeaseLost(f"{self.name}: {message}")
        if kind in protocol.FAILURE_KINDS and kind not in ("crashed", "bad_request"):
            raise BoardError(f"{self.name}: {message}", kind=str(kind))
        raise AgentError(f"{self.name}: the agent failed: {message}")
