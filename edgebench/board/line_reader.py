"""Lines of what a command on a board writes, bounded and in time."""

from __future__ import annotations

import time

from edgebench.board.transport.base import Stream
from edgebench.errors import AgentError
from edgebench_agent import protocol


class LineReader:
    """Complete lines from a stream of the board `name`, each bounded by the protocol's limit."""

    def __init__(self, stream: Stream, *, name: str = "") -> None:
        self._prefix = f"{name}: " if name else ""
        self._stream = stream
        self._buffer = bytearray()

    def line(self, *, timeout_s: float) -> bytes:
        """Return the next line with its newline; b"" at the end of the stream (a torn last line is dropped).

        Raises:
            TimeoutError: no complete line came in time; the bytes so far are kept for the next call.
            AgentError: a line is longer than the protocol allows.
        """
        deadline = time.monotonic() + timeout_s
        searched = 0
        while True:
            end = self._buffer.find(b"\n", searched)
            if end >= 0:
                line = bytes(self._buffer[: end + 1])
                del self._buffer[: end + 1]
                return line
            searched = len(self._buffer)
            if searched > protocol.MAX_LINE_BYTES:
                raise AgentError(f"{self._prefix}the board sent a line of more than {protocol.MAX_LINE_BYTES} bytes")
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no line in time")
            chunk = self._stream.read(1 << 16, timeout_s=left)
            if not chunk:
                return b""
            self._buffer += chunk
