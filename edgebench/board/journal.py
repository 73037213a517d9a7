"""A run's journal, read by sequence number to its end, also when the connection breaks in between."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NoReturn

from edgebench import ending
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
#: Before that it starts. A follower that starts may take so many times as long as the fastest command has taken: on an
#: emulated board, or one that is short of memory, starting Python takes many seconds.
_TIMES_TO_START = 8
RENEW_EVERY_S = 10.0
#: For how long the connection to a run is opened again: about as long as the run goes on without us.
RECONNECT_S = 600.0
#: More than the ten million latencies that a run may have, or two days of readings.
_MAX_JOURNAL_BYTES = 384 << 20
#: The agent gives the worker five seconds to end by itself, and then kills it.
_STOP_S = 12.0
#: What is left of an ending, after the run was stopped, to keep what it sent and to give the lease back.
_AFTER_STOP_S = 4.0
#: The supervisor writes readings several times a second, whatever the model does. If it writes none for so long, it
#: stands still, even if its follower, another process, sends heartbeats.
STANDSTILL_S = 40.0
#: So many followers in a row that start and say nothing: the agent does not run there, though the network does.
_MOST_SILENT = 3
#: A follower sends a heartbeat a second; a board that sends so many at once, and so many in a second, floods the host.
_MOST_HEARTBEATS, _HEARTBEATS_PER_S = 1000, 10
#: Nothing but readings and notes for so long: longer than the agent itself waits for a load or an inference.
NO_PROGRESS_S = 3_900.0


class Position:
    """How far a journal was read: the byte after the last complete line, and the next sequence number.

    `ended`: its last message was read, or its writer is gone without one.
    """

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
        self._is_silent = True  # the follower that was started last has sent nothing
        self._has_readings = False
        self._last_message_s = self._last_progress_s = time.monotonic()

    def follow(self) -> Iterator[protocol.Entry]:
        """Yield the messages in order, each once, until done or failed; see `RemoteAgent.follow`."""
        agent, position = self._agent, self._position
        retry = reconnecting(agent.transport, attempts=None, limit_s=RECONNECT_S)
        silent = 0
        while True:
            before = position.next_seq
            self._is_silent = True
            try:
                yield from self._follow_once()
                return
            except (ConnectionLost, TimeoutError) as error:
                silent = silent + 1 if self._is_silent and isinstance(error, TimeoutError) else 0
                if silent == _MOST_SILENT:
                    raise AgentError(
                        f"{agent.name}: run {self._run_id}: the agent does not answer, though the board can be reached"
                    ) from error
                if position.next_seq > before:
                    retry.restart()
                if not retry.again(error):
                    raise ConnectionLost(
                        f"{agent.name}: the board could not be reached again in {RECONNECT_S / 60:.0f} minutes"
                    ) from error

    def stop(self, take: Callable[[protocol.Entry], None]) -> None:
        """Ask the board to end the run; `take` gets the messages that still come. See `RemoteAgent.stop`."""
        transport = self._agent.transport
        limit_s = _STOP_S
        if ending.has_begun():
            limit_s = max(0.5, ending.left_s(_STOP_S + _AFTER_STOP_S) - _AFTER_STOP_S)
        deadline = time.monotonic() + limit_s

        def read_to_end() -> None:
            with ending.interruptible():
                transport.connect()
            for entry in self._follow_once(stop=True, deadline=deadline):
                try:
                    take(entry)
                except AgentError:
                    return  # what can't be true is not kept, and nothing after it

        def reconnect(_: int, __: Exception) -> None:
            ending.sleep(0.5)  # a launch that was cut short may still be about to begin the run
            with suppress(DeviceError), ending.interruptible():
                transport.reconnect()

        if not self._position.ended:
            with suppress(DeviceError, TimeoutError):
                Retry((DeviceError, TimeoutError), limit_s=limit_s, before_retry=reconnect).call(read_to_end)

    def _follow_once(self, *, stop: bool = False, deadline: float = math.inf) -> Iterator[protocol.Entry]:
        agent, position = self._agent, self._position
        stream = agent.start(["follow", self._run_id, str(position.offset), *agent.lease_arguments()])
        try:
            lines = LineReader(stream, name=agent.name)
            renewed = -math.inf
            began, heartbeats = time.monotonic(), 0
            self._last_message_s = time.monotonic()
            if stop:
                stream.write(protocol.STOP)
            while True:
                now = time.monotonic()
                if now > deadline:
                    raise TimeoutError("no end in time")
                if now - renewed >= RENEW_EVERY_S:
                    stream.write(protocol.RENEW)
                    renewed = agent.held_lease.renewed_s = now
                line = lines.line(timeout_s=min(self._most_silence_s(), deadline - now))
                if not line:
                    self._explain_end(stream)
                self._is_silent = False
                if line == protocol.HEARTBEAT:
                    heartbeats += 1
                    if heartbeats > _MOST_HEARTBEATS + _HEARTBEATS_PER_S * (now - began):
                        raise AgentError(f"{agent.name}: run {self._run_id}: the board sends heartbeats without end")
                    self._check_standstill()
                    continue
                entry = self._checked_entry(line)
                self._note(entry.message)
                yield entry
                if position.ended:
                    return
        except BrokenPipeError as error:
            raise ConnectionLost(f"{agent.name}: the follower ended") from error
        finally:
            stream.close()

    def _most_silence_s(self) -> float:
        """Return how long the follower may be silent now."""
        start_s = self._agent.quickest_s if self._is_silent else None
        return max(SILENCE_S, _TIMES_TO_START * (start_s or 0.0))

    def _note(self, message: protocol.Message) -> None:
        """Note that a message came, and check that not only readings have come for long.

        Raises:
            AgentError.
        """
        now = time.monotonic()
        self._last_message_s = now
        if isinstance(message, protocol.Readings):
            self._has_readings = True
        if not isinstance(message, protocol.Readings | protocol.Log):
            self._last_progress_s = now
        elif now - self._last_progress_s > NO_PROGRESS_S:
            raise AgentError(
                f"{self._agent.name}: run {self._run_id} has made no progress for {NO_PROGRESS_S / 60:.0f} minutes"
            )

    def _check_standstill(self) -> None:
        still_s = time.monotonic() - self._last_message_s
        if still_s > (STANDSTILL_S if self._has_readings else NO_PROGRESS_S):
            raise AgentError(
                f"{self._agent.name}: run {self._run_id} stands still: its supervisor has written nothing for "
                f"{still_s:.0f} s; is it stopped, or its disk hung?"
            )

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
        self._position.ended = True
        raise AgentError(f"{agent.name}: run {run_id} ended without saying how; the agent's log: {self._agent_log()}")

    def _agent_log(self) -> str:
        """Return the end of the log of the run's processes, or why it is not shown: a runtime may print without end."""
        try:
            return sanitize_tail(fetch(self._agent, self._run_id, "agent.log", limit=1 << 16)) or "empty"
        except AgentError as error:
            return f"not shown ({error})"


def run_failure(name: str, failed: protocol.Failed) -> RunFailed | LeaseLost:
    """Return the error that a `failed` message of device `name` stands for."""
    if failed.kind == "lease_lost":
        return LeaseLost(f"{name}: the run was ended: {sanitize_tail(failed.message)}")
    message = f"{name}: the run failed: {sanitize_tail(failed.message)}"
    return RunFailed(message, kind=failed.kind, traceback=failed.traceback)
