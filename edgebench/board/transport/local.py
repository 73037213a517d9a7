"""This machine as a board: commands are subprocesses."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from edgebench import ending
from edgebench.board.transport.base import CHUNK_BYTES, StderrTail, Stream, Transport
from edgebench.device import Device
from edgebench.errors import BoardError, ConnectionLost

#: How long a command may take to end by itself once its input and output are closed.
_GRACE_S = 3.0
#: How long a command may take nothing of what is written to it.
_WRITE_STALL_S = 60.0


class LocalTransport(Transport):
    """Runs commands on this machine, with its environment.

    Raises:
        ConfigError: the device has a NUL.
    """

    shares_files = True

    def __init__(self, device: Device) -> None:
        device.refuse_nul()
        self.name = device.name
        self._streams: list[LocalStream] = []

    def connect(self) -> None:
        """Do nothing: there is no connection."""

    def start(self, argv: Sequence[str]) -> Stream:
        try:
            # Through sh, so that a missing command is status 127 and a message, as it is over SSH. In a session of its
            # own, so that Ctrl-C in the terminal does not reach it: the host decides when a run is stopped.
            process = subprocess.Popen(
                ["/bin/sh", "-c", 'exec "$@"', "sh", *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise BoardError(f"{self.name}: can't start {argv[0]}: {error.strerror}") from error
        stream = LocalStream(process, name=self.name)
        self._streams = [other for other in self._streams if not other.closed] + [stream]
        return stream

    def close(self) -> None:
        for stream in self._streams:
            stream.close()
        self._streams = []


class LocalStream(Stream):
    """A subprocess and its pipes."""

    def __init__(self, process: subprocess.Popen[bytes], *, name: str) -> None:
        assert process.stdin and process.stdout and process.stderr  # noqa: S101 - all three are pipes
        self._process = process
        self._name = name
        self._stdin: IO[bytes] = process.stdin
        self._stdout: IO[bytes] = process.stdout
        self._stderr: IO[bytes] = process.stderr
        os.set_blocking(self._stdin.fileno(), False)
        # Closing one end of this pipe wakes a thread that waits in `write` or for standard error.
        self._closing, self._waker = os.pipe()
        self._write_lock = threading.Lock()
        self._tail = StderrTail(self._read_stderr, name=name)
        self.closed = False

    def read(self, limit: int, *, timeout_s: float) -> bytes:
        descriptor = self._stdout.fileno()

        def is_ready(slice_s: float) -> set[int]:
            self._tail.refuse_flood()
            return _ready(descriptor, event=select.POLLIN, timeout_s=slice_s)

        if not ending.wait(is_ready, timeout_s):
            raise TimeoutError(f"no output for {timeout_s:g} s")
        return os.read(self._stdout.fileno(), limit)

    def _read_stderr(self) -> bytes:
        descriptor = self._stderr.fileno()
        ready = _ready(descriptor, event=select.POLLIN, waker=self._closing)
        return os.read(descriptor, CHUNK_BYTES) if descriptor in ready else b""

    def write(self, data: bytes | memoryview) -> None:
        with self._write_lock, memoryview(data) as view:
            sent = 0
            while sent < len(view):
                if self._stdin.closed:
                    raise BrokenPipeError("the command's input is closed")
                descriptor = self._stdin.fileno()
                self._await_room(descriptor)
                with suppress(BlockingIOError):
                    sent += os.write(descriptor, view[sent : sent + CHUNK_BYTES])

    def _await_room(self, descriptor: int) -> None:
        """Wait until the command's input takes more.

        Raises:
            ConnectionLost: it takes nothing.
            BrokenPipeError: the stream is closed.
        """

        def is_ready(slice_s: float) -> set[int]:
            self._tail.refuse_flood()
            return _ready(descriptor, event=select.POLLOUT, waker=self._closing, timeout_s=slice_s)

        if not ending.wait(is_ready, _WRITE_STALL_S):
            raise ConnectionLost(f"{self._name}: the command took no data for {_WRITE_STALL_S:g} s")
        if self._closing in is_ready(0.0):
            raise BrokenPipeError("the stream is closed")

    def end_input(self) -> None:
        with self._write_lock:
            self._stdin.close()

    def wait(self, *, timeout_s: float) -> int | None:
        def has_ended(slice_s: float) -> bool:
            self._tail.refuse_flood()
            return self._has_ended(slice_s)

        if not ending.wait(has_ended, timeout_s):
            return None
        status = self._process.wait()
        self._tail.join(_GRACE_S)  # its last output may still be in the pipe
        return status

    def _has_ended(self, within_s: float) -> bool:
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stderr(self) -> bytes:
        return self._tail.bytes()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        os.close(self._waker)
        self.end_input()
        self._stdout.close()
        if self._tail.join(_GRACE_S):  # else its thread still uses them
            self._stderr.close()
            os.close(self._closing)
        self._end_process()

    def _end_process(self) -> None:
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            if ending.wait(self._has_ended, _GRACE_S, is_closing=True):
                return
            os.killpg(self._process.pid, signal_number)
        self._has_ended(_GRACE_S)  # one that hangs in the kernel is left to itself


def _ready(descriptor: int, *, event: int, waker: int | None = None, timeout_s: float | None = None) -> set[int]:
    """Return which of the two descriptors can be used without blocking, or are at their end."""
    poller = select.poll()
    poller.register(descriptor, event)
    if waker is not None:
        poller.register(waker, select.POLLIN)
    return {number for number, _ in poller.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000)}
