"""What a transport must offer: it runs commands on a board. The rest of edgebench knows only this."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from edgebench import ending
from edgebench.errors import BoardError, ConnectionLost

STDERR_TAIL_BYTES = 64 << 10
#: More than any command has to say; a board that writes on is refused.
MOST_STDERR_BYTES = 32 << 20
CHUNK_BYTES = 256 << 10
_FEEDER_S = 5.0  # a closed stream ends its feeder at once


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended; a status below 0 is the signal that ended it."""

    status: int
    stdout: bytes
    stderr: bytes  # its last 64 KiB


class Stream(Protocol):
    """A running command with its standard input and output.

    One thread may read while another writes. All methods but `stderr` and `close` raise ConnectionLost where the
    connection to the board is gone, and BoardError where the command writes without end to standard error.
    """

    def read(self, limit: int, *, timeout_s: float) -> bytes:
        """Return up to `limit` bytes of output as soon as there are some; b"" at its end.

        Raises:
            TimeoutError: nothing came in time; the stream can be read again.
        """

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data` to the command's standard input.

        It blocks while the command does not read, as one does that writes much and is not read itself.

        Raises:
            BrokenPipeError: the command no longer reads.
        """

    def end_input(self) -> None:
        """Close the command's standard input."""

    def wait(self, *, timeout_s: float) -> int | None:
        """Return the exit status (below 0: the signal), or None where the board does not report it in time."""

    def stderr(self) -> bytes:
        """Return what the command wrote to standard error so far, at most the last 64 KiB."""

    def close(self) -> None:
        """Give up the stream; a command that still runs sees the end of its input."""


class Transport(Protocol):
    """Runs commands on a board.

    `name` is the device's, for messages. `shares_files` says whether the board is this machine, so that files need not
    be pushed. An implementation inherits from this class and adds connect, start and close.
    """

    name: str
    shares_files: bool

    @abstractmethod
    def connect(self) -> None:
        """Open the connection, unless it is open.

        Raises:
            ConnectionFailed: it can't be opened; HostKeyError, AuthenticationError: for that reason.
        """

    @abstractmethod
    def start(self, argv: Sequence[str]) -> Stream:
        """Start a command; its arguments arrive unchanged, whatever characters they have (NUL is not possible).

        A command that does not exist or can't be executed ends with status 127 or 126, as in a shell.

        Raises:
            ConnectionLost: the connection is gone; `reconnect` may open it again.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection, and every stream with it."""

    def reconnect(self) -> None:
        """Close what is left of the old connection and open a new one."""
        self.close()
        self.connect()

    def run(
        self,
        argv: Sequence[str],
        *,
        input: bytes = b"",
        timeout_s: float = 60.0,
        limit_bytes: int = 64 << 20,
    ) -> CommandResult:
        """Run a command to its end.

        Raises:
            ConnectionLost: the connection ended first, or nothing ended within `timeout_s`.
            BoardError: the command wrote more than `limit_bytes`, or without end to standard error.
        """
        deadline = time.monotonic() + timeout_s
        stream = self.start(argv)
        feeder = threading.Thread(target=_feed, args=(stream, input), name=f"edgebench-input-{self.name}", daemon=True)
        feeder.start()
        try:
            stdout = self._collect(stream, argv[0], deadline, limit_bytes)
            status = stream.wait(timeout_s=max(0.0, deadline - time.monotonic()))
            if status is None:
                raise ConnectionLost(f"{self.name}: {argv[0]} did not end within {timeout_s:g} s")
            return CommandResult(status, stdout, stream.stderr())
        except TimeoutError as error:
            raise ConnectionLost(f"{self.name}: {argv[0]} did not end within {timeout_s:g} s") from error
        finally:
            stream.close()  # also ends the feeder
            feeder.join(_FEEDER_S)

    def _collect(self, stream: Stream, command: str, deadline: float, limit_bytes: int) -> bytes:
        output = bytearray()
        while chunk := stream.read(CHUNK_BYTES, timeout_s=max(0.0, deadline - time.monotonic())):
            output += chunk
            if len(output) > limit_bytes:
                raise BoardError(f"{self.name}: {command} wrote more than {limit_bytes} bytes to standard output")
        return bytes(output)

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _feed(stream: Stream, data: bytes) -> None:
    # The reading side meets the same errors, and reports them.
    with suppress(ConnectionLost, BoardError, BrokenPipeError):
        if data:
            stream.write(data)
        stream.end_input()


class StderrTail:
    """Drains a command's standard error in a thread, so that it can't block the command, and keeps its end.

    `read` returns the next bytes, b"" at the end; it must return once the stream is closed. After `MOST_STDERR_BYTES`
    nothing more is read, and `refuse_flood` raises.
    """

    def __init__(self, read: Callable[[], bytes], *, name: str) -> None:
        self._read = read
        self._name = name
        self._is_flooded = False
        self._tail = bytearray()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._drain, name=f"edgebench-stderr-{name}", daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        left = MOST_STDERR_BYTES
        while chunk := self._read():
            with self._lock:
                self._tail += chunk
                del self._tail[:-STDERR_TAIL_BYTES]
            left -= len(chunk)
            if left < 0:
                self._is_flooded = True
                return

    def refuse_flood(self) -> None:
        """Raise BoardError if the command writes without end to standard error."""
        if self._is_flooded:
            raise BoardError(
                f"{self._name}: the board wrote more than {MOST_STDERR_BYTES >> 20} MiB to standard error, where a "
                f"command has a few lines to say; is its Python, or a start-up file there, broken?"
            )

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of standard error; return whether it came."""

        def has_ended(slice_s: float) -> bool:
            self._thread.join(slice_s)
            return not self._thread.is_alive()

        return ending.wait(has_ended, timeout_s, is_closing=True)

    def bytes(self) -> bytes:
        """Return the last 64 KiB so far."""
        with self._lock:
            return bytes(self._tail)
