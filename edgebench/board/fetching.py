"""Files of a run, brought from the board."""

from __future__ import annotations

from edgebench.board.commands import CHUNK_BYTES, RECONNECT_ATTEMPTS, AgentCommands
from edgebench.board.facts import sanitize_tail
from edgebench.errors import AgentError, ConnectionLost


def fetch(agent: AgentCommands, run_id: str, name: str, *, limit: int) -> bytes:
    """Return the content of a run's file, of which no byte is sent twice.

    Raises:
        AgentError: it is larger than `limit` bytes, or the agent can't read it.
        ConnectionLost: the connection broke again and again.
    """
    data = bytearray()
    for attempt in range(RECONNECT_ATTEMPTS):
        try:
            _fetch_rest(agent, run_id, name, data, limit)
            return bytes(data)
        except (ConnectionLost, TimeoutError) as error:
            if attempt == RECONNECT_ATTEMPTS - 1:
                raise ConnectionLost(f"{agent.name}: the connection broke while fetching {name}") from error
            agent.reconnect(attempt)
    raise AssertionError("unreachable")


def _fetch_rest(agent: AgentCommands, run_id: str, name: str, data: bytearray, limit: int) -> None:
    stream = agent.start(["fetch", run_id, name, str(len(data))])
    try:
        while chunk := stream.read(CHUNK_BYTES, timeout_s=60):
            data += chunk
            if len(data) > limit:
                raise AgentError(f"{agent.name}: {name} of run {run_id} is larger than {limit} bytes")
        status = stream.wait(timeout_s=10)
        if status is None or status < 0:
            raise ConnectionLost(f"{agent.name}: the connection broke")
        if status != 0:
            raise AgentError(f"{agent.name}: can't fetch {name} of run {run_id}: {sanitize_tail(stream.stderr())}")
    finally:
        stream.close()
