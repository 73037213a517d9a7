"""What a way to a board must offer. The rest of edgebench knows only this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended; a status below 0 is the signal that ended it."""

    status: int
    stdout: bytes
    stderr: bytes


class Stream(Protocol):
    """A running command with its standard input and output.

    All methods raise ConnectionLost where the way to the board is gone.
    """

    def read(self, limit: int, *, timeout_s: float) -> bytes:
        """Return up to `limit` bytes of output as soon as there are some; b"" at its end.

        Raises:
            TimeoutError: nothing came in time; the stream can be read again.
        """

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data` to the command's standard input.

        Raises:
            BrokenPipeError: the command no longer reads.
        """

    def end_input(self) -> None:
        """Close the command's standard input."""

    def wait(self, *, timeout_s: float) -> int | None:
        """Return the exit status, or None where it is not known in time (or was never told)."""

    def stderr(self) -> bytes:
        """Return what the command wrote to standard error so far, at most the last 64 KiB."""

    def close(self) -> None:
        """Give the stream up; a command that still runs sees its input end."""


class Transport(Protocol):
    """A way to run commands on a board.

    `shares_files` says whether the board is this machine, so that files need no push.
    """

    name: str
    shares_files: bool

    def connect(self) -> None:
        """Open the way; does nothing where it is open.

        Raises:
            ConnectionFailed: it can't be opened (HostKeyError, AuthenticationError where that is why).
        """

    def reconnect(self) -> None:
        """Close what is left of the old connection and open a new one."""

    def start(self, argv: Sequence[str]) -> Stream:
        """Start a command; each argument arrives as it is, whatever characters it has."""

    def run(self, argv: Sequence[str], *, input: bytes = b"", timeout_s: float = 60.0) -> CommandResult:
        """Run a command to its end.

        Raises:
            ConnectionLost: the connection ended first, or nothing ended within `timeout_s`.
        """

    def close(self) -> None:
        """Close the way to the board."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
