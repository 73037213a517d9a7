"""The agent's commands over a connection that may break: repeated after a cut, their answers checked."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgebench import ending
from edgebench.board.facts import sanitize_tail
from edgebench.board.line_reader import LineReader
from edgebench.board.retry import Retry
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
#: A command that was killed so often is given up: its board has no memory for it, say.
_MOST_KILLED, _AFTER_KILL_S = 3, 0.5
_BEGIN_OF_ANSWER = re.compile(rb'\{"ok" ?: ?(?:true|false)')
PRINTS_HINT = "; if a start-up file there (~/.bashrc, ~/.profile, ~/.zshenv) prints or starts something, let it do so "
PRINTS_HINT += "only in interactive shells: [[ $- == *i* ]] || return"
#: A reply is one line; what a login shell or a library prints comes before it.
_MOST_REPLY_BYTES = 4 << 20


@dataclass(slots=True)
class HeldLease:
    """The lease under which an agent's commands run. It begins and ends while the agent is connected.

    `token` is the number of the grant, 0: none. `renewed_s` is when it was renewed last, by any command;
    time.monotonic.
    """

    token: int = 0
    renewed_s: float = 0.0


class AgentCommands:
    """The commands of one board's agent, reached through a transport.

    Args:
        python: the board's interpreter that runs the agent.
        path: of the agent's file on the board.
        held_lease: under which the commands run; shared by all who use the same agent.

    Attributes:
        quickest_s: what the fastest command has taken: about the time in which the agent starts there. None: none ran.
    """

    quickest_s: float | None = None

    def __init__(self, transport: Transport, *, python: str, path: str, held_lease: HeldLease | None = None) -> None:
        self.transport = transport
        self.name = transport.name
        self.python = python
        self.path = path
        self.held_lease = held_lease if held_lease is not None else HeldLease()

    def start(self, arguments: Sequence[str]) -> Stream:
        """Start a command whose output is read as it comes.

        Raises:
            ConnectionLost.
        """
        with ending.interruptible():
            return self.transport.start([self.python, self.path, *arguments])

    def command(
        self, arguments: Sequence[str], *, input: bytes = b"", timeout_s: float, python: str | None = None
    ) -> dict[str, Any]:
        """Run a command and return its one answer; `python` runs it instead of the agent's interpreter.

        Raises:
            BoardError, BoardBusy, LeaseLost: as the answer says.
            AgentError: there is no valid answer.
            ConnectionLost: the connection broke again and again.
        """
        argv = [python or self.python, self.path, *arguments]
        result = self._run(argv, input=input, timeout_s=timeout_s)
        line = answer_in(result.stdout)
        if not line:
            said = sanitize_tail(result.stderr)
            raise AgentError(f"{self.name}: the agent's {arguments[0]} gave no answer (status {result.status}): {said}")
        return self._checked_reply(line)

    def _run(self, argv: Sequence[str], *, input: bytes, timeout_s: float) -> CommandResult:
        """Run a command, again if it was killed before it had answered: every command of ours may run twice."""
        deadline_s = time.monotonic() + timeout_s
        for killed in range(1, _MOST_KILLED + 1):
            left_s = max(1.0, deadline_s - time.monotonic())
            began_s = time.monotonic()
            result = run_reconnecting(self.transport, argv, input=input, timeout_s=left_s)
            taken_s = time.monotonic() - began_s
            self.quickest_s = taken_s if self.quickest_s is None else min(taken_s, self.quickest_s)
            if not _was_killed(result) or killed == _MOST_KILLED:
                break
            ending.sleep(_AFTER_KILL_S)
        return result

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

    def lease_arguments(self) -> list[str]:
        """Return the arguments with which the board refuses a command once the lease is somebody else's."""
        return ["--lease", str(self.held_lease.token)] if self.held_lease.token else []

    def _checked_reply(self, line: bytes) -> dict[str, Any]:
        try:
            reply = protocol.decode_object(line)
        except protocol.ProtocolError as error:
            printed = "" if self.transport.shares_files else PRINTS_HINT
            raise AgentError(f"{self.name}: the agent's answer is not valid: {error}{printed}") from error
        if reply.get("ok") is True:
            return reply
        kind = reply.get("kind")
        message = sanitize_tail(reply.get("message", "no reason given"))
        if kind == "interrupted":  # the input of the command ended early: the same as a cut
            raise ConnectionLost(f"{self.name}: {message}")
        if kind == "busy":
            raise BoardBusy(f"{self.name}: {message}")
        if kind == "lease_lost":
            raise LeaseLost(f"{self.name}: {message}")
        if kind in protocol.FAILURE_KINDS and kind not in ("crashed", "bad_request"):
            raise BoardError(f"{self.name}: {message}", kind=str(kind))
        raise AgentError(f"{self.name}: the agent failed: {message}")


def answer_in(stdout: bytes) -> bytes:
    """Return the answer in what a command printed: the last line, without what a start-up file put before it there."""
    line = stdout.strip().rpartition(b"\n")[2]
    found = _BEGIN_OF_ANSWER.search(line)
    return line[found.start() :] if found is not None else line


def _was_killed(result: CommandResult) -> bool:
    """Whether a signal ended a command before its answer was complete; a shell reports that as a status above 128."""
    return (result.status < 0 or result.status > 128) and not result.stdout.endswith(b"\n")


def run_reconnecting(transport: Transport, argv: Sequence[str], *, input: bytes, timeout_s: float) -> CommandResult:
    """Run a program to its end, again where the connection breaks: every program of ours may run twice.

    Raises:
        ConnectionLost: the connection broke again and again.
    """
    deadline_s = time.monotonic() + timeout_s
    return reconnecting(transport, limit_s=timeout_s).call(
        lambda: transport.run(
            argv, input=input, timeout_s=max(1.0, deadline_s - time.monotonic()), limit_bytes=_MOST_REPLY_BYTES
        )
    )


def reconnecting(
    transport: Transport,
    *errors: type[Exception],
    attempts: int | None = RECONNECT_ATTEMPTS,
    limit_s: float = float("inf"),
) -> Retry:
    """Return a retry that opens the connection again, after a pause that grows with the number of failed attempts.

    Args:
        errors: those that mean a broken connection; none named: ConnectionLost.

    Its attempts end with HostKeyError and AuthenticationError, which another attempt does not help.
    """

    def reconnect(failed: int, _: Exception) -> None:
        ending.sleep(min(0.1 * 2**failed, 10.0))
        try:
            with ending.interruptible():
                transport.reconnect()
        except (HostKeyError, AuthenticationError):
            raise
        except (ConnectionFailed, ConnectionLost):
            pass  # the next attempt meets the same and is counted

    return Retry(errors or ConnectionLost, attempts=attempts, limit_s=limit_s, before_retry=reconnect)
