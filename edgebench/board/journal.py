"""A run's journal, read by sequence number to its end, also when the connection breaks in between."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NoReturn

from edgebench.board.commands import AgentCommands, reconnecting
from edgebench.board.facts import sanitize_tail
from edgebench.board.line_reader import LineReader
from edgebench.board.retry import Retry
from edgebench.board.transfer import fetch
from edgebench.board.transport.base import Stream
from edgebench.errors import AgentError, ConnectionLost, DeviceError, LeaseLost, RunFailed
from edgebench_agent import protocol

#: A follower is heard every second (heartbeats); silent for so long, the connection counts as lost.
SILENCE_S = 15.0
RENEW_EVERY_S = 10.0
#: For how long the connection to a run is opened again: about as long as the run goes on without us.
RECONNECT_S = 600.0
#: More than the ten million latencies that a run may have, or two days of readings.
_MAX_JOURNAL_BYTES = 384 << 20
_STOP_S = 20.0


class Position:
    """How far a journal was read: the byte after the last complete line, the next sequence number, whether it ended."""

    def __init__(self) -> None:
        self.offset = 0
        self.next_seq = 0
        self.ended = False


class Follower:
    """Reads a run's journal from `position` on, and moves that along."""

    def __init__(self, agent: AgentCommands, run_id: str, position: Position) -> None:
        self._agent = agent
        self._run_id = run_id
        self._position = position

    def follow(self) -> Iterator[protocol.Entry]:
        """Yield the messages in order, each once, until done or failed; see `RemoteAgent.follow`."""
        agent, position = self._agent, self._position
        retry = reconnecting(agent.transport, attempts=None, limit_s=RECONNECT_S)
        while True:
            before = position.next_seq
            try:
                yield from self._follow_once()
                return
            except (ConnectionLost, TimeoutError) as error:
                if position.next_seq > before:
                    retry.restart()
                if not retry.again(error):
                    raise ConnectionLost(
                        f"{agent.name}: the board could not be reached again in {RECONNECT_S / 60:.0f} minutes"
                    ) from error

    def stop(self) -> list[protocol.Entry]:
        """Ask the board to end the run; return the messages that still came. See `RemoteAgent.stop`."""
        transport = self._agent.transport
        entries: list[protocol.Entry] = []
        deadline = time.monotonic() + _STOP_S

        def read_to_end() -> None:
            transport.connect()
            for entry in self._follow_once(stop=True, deadline=deadline):
                entries.append(entry)

        def reconnect(_: int, __: Exception) -> None:
            time.sleep(0.5)  # a launch that was cut short may still be about to begin the run
            with suppress(DeviceError):
                transport.reconnect()

        if not self._position.ended:
            with suppress(DeviceError, TimeoutError):
                Retry((DeviceError, TimeoutError), limit_s=_STOP_S, before_retry=reconnect).call(read_to_end)
        return entries

    def _follow_once(self, *, stop: bool = False, deadline: float = math.inf) -> Iterator[protocol.Entry]:
        agent, position = self._agent, self._position
        stream = agent.start(["follow", self._run_id, str(position.offset), *agent.lease_arguments()])
        try:
            lines = LineReader(stream)
            renewed = -math.inf
            if stop:
                stream.write(protocol.STOP)
            while True:
                now = time.monotonic()
                if now > deadline:
                    raise TimeoutError("no end in time")
                if now - renewed >= RENEW_EVERY_S:
                    stream.write(protocol.RENEW)
                    renewed = agent.held_lease.renewed_s = now
                line = lines.line(timeout_s=min(SILENCE_S, deadline - now))
                if not line:
                    self._explain_end(stream)
                if line == protocol.HEARTBEAT:
                    continue
                entry = self._checked_entry(line)
                yield entry
                if position.ended:
                    return
        except BrokenPipeError as error:
            raise ConnectionLost(f"{agent.name}: the follower ended") from error
        finally:
            stream.close()

    def _checked_entry(self, line: bytes) -> protocol.Entry:
        name, position = self._agent.name, self._position
        try:
            entry = protocol.decode_message(line)
        except protocol.ProtocolError as error:
            raise AgentError(f"{name}: the journal is not valid: {error}") from error
        if entry.seq != position.next_seq:
            raise AgentError(f"{name}: the journal jumps to message {entry.seq}, expected {position.next_seq}")
        position.next_seq += 1
        position.offset += len(line)
        position.ended = isinstance(entry.message, (protocol.Done, protocol.Failed))
        if position.offset > _MAX_JOURNAL_BYTES:
            raise AgentError(f"{name}: the journal is larger than {_MAX_JOURNAL_BYTES} bytes")
        return entry

    def _explain_end(self, stream: Stream) -> NoReturn:
        """Raise what the end of the follower's output means, which came before the end of the run.

        Raises:
            ConnectionLost: the connection broke.
            AgentError: the agent died, or can't read the journal.
        """
        agent, run_id = self._agent, self._run_id
        status = stream.wait(timeout_s=5)
        if status is None or status < 0:
            raise ConnectionLost(f"{agent.name}: the connection broke")
        said = sanitize_tail(stream.stderr()) or "no message"
        if status != 0:
            raise AgentError(f"{agent.name}: can't follow run {run_id}: {said}")
        log = sanitize_tail(fetch(agent, run_id, "agent.log", limit=1 << 16)) or "empty"
        raise AgentError(f"{agent.name}: run {run_id} ended without saying how; the agent's log: {log}")


def run_failure(name: str, failed: protocol.Failed) -> RunFailed | LeaseLost:
    """Return the error that a `failed` message of device `name` stands for."""
    if failed.kind == "lease_lost":
        return LeaseLost(f"{name}: the run was ended: {sanitize_tail(failed.message)}")
    message = f"{name}: the run failed: {sanitize_tail(failed.message)}"
    return RunFailed(message, kind=failed.kind, traceback=failed.traceback)
