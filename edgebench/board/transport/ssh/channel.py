"""A command on a board: one exec channel of an SSH connection."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import paramiko  # type: ignore[import-untyped]

from edgebench import ending
from edgebench.board.transport.base import CHUNK_BYTES, StderrTail, Stream
from edgebench.board.transport.ssh import limits
from edgebench.board.transport.ssh.login_output import LoginOutput
from edgebench.board.transport.ssh.session import Flooded
from edgebench.errors import BoardError, ConnectionLost

_MOST_PENDING_BYTES = 64 << 10
#: What paramiko raises where a connection is gone.
BROKEN = (paramiko.SSHException, EOFError, OSError)


class SshStream(Stream):
    """A command on an exec channel.

    `marker`: a line that the login shell prints right before the command. What comes before it is of the shell's own
    files (an `echo` in ~/.bashrc) and is dropped, and no input is sent before it, which such a file would read.
    """

    def __init__(self, channel: Any, *, name: str, marker: bytes) -> None:
        self._channel = channel
        self._name = name
        channel.settimeout(limits.WRITE_STALL_S)
        self._readable = threading.Event()
        channel.in_buffer.set_event(self._readable)
        self._tail = StderrTail(self._read_stderr, name=name)
        self.closed = False
        self._login = LoginOutput(marker)
        self._starting = threading.Lock()
        self._pending = bytearray()  # input that waits for the command to begin
        self._pending_lock = threading.Lock()
        self._is_sent = False
        self._began_s = time.monotonic()

    def read(self, limit: int, *, timeout_s: float) -> bytes:
        deadline_s = time.monotonic() + max(0.0, timeout_s)
        if not self._login.is_over:
            self._await_command(deadline_s)
        if self._login.rest:
            return self._login.take(limit)
        return self._receive(limit, timeout_s=deadline_s - time.monotonic())

    def _await_command(self, deadline_s: float) -> None:
        """Read what the login shell prints before the command.

        Raises:
            TimeoutError: it did not end by then; it can be awaited again.
            BoardError: the shell waits for input, prints without end, or ended without running the command.
        """
        limit_s = self._began_s + limits.LOGIN_SHELL_S
        left_s = min(deadline_s, limit_s) - time.monotonic()
        if not ending.wait(lambda slice_s: self._starting.acquire(timeout=slice_s), left_s):
            raise self._not_begun(limit_s)
        try:
            while not self._login.is_over and not self.closed:
                try:
                    data = self._receive(CHUNK_BYTES, timeout_s=min(deadline_s, limit_s) - time.monotonic())
                except TimeoutError:
                    raise self._not_begun(limit_s) from None
                if not data and self.closed:
                    return
                if not data and exit_signal(self._channel):
                    raise ConnectionLost(f"{self._name}: the login shell was killed before the command began")
                if not data:
                    self._tail.join(limits.ANSWER_S)
                    said = self._tail.bytes()
                    raise BoardError(f"{self._name}: {self._login.why_no_command(ended=True, stderr=said)}")
                if not self._login.add(data):
                    raise BoardError(f"{self._name}: {self._login.why_no_command(ended=False)}")
            if not self._is_sent and not self.closed:
                with suppress(BrokenPipeError):  # a command that reads nothing
                    self._send_pending()
        finally:
            self._starting.release()

    def _not_begun(self, limit_s: float) -> Exception:
        """Return the error for a command that has not begun: it may still, up to `limit_s`."""
        if time.monotonic() < limit_s - 0.01:
            return TimeoutError("the command has not begun")
        if not answers(self._channel.get_transport(), name=self._name):
            return ConnectionLost(f"{self._name}: the board does not answer")
        return BoardError(f"{self._name}: {self._login.why_no_command(ended=False)}")

    def _receive(self, limit: int, *, timeout_s: float) -> bytes:
        if not ending.wait(self._unless_flooded(self._readable.wait), timeout_s):
            raise TimeoutError(f"no output for {timeout_s:g} s")
        try:
            data: bytes = self._channel.recv(limit)
        except BROKEN as error:  # recv also sends: that there is room for more
            raise self._broke() from error
        if not data and not self._ended():
            # No bytes: the end or a cut. The server announces an end.
            raise self._broke()
        return data

    def _unless_flooded(self, is_ready: Callable[[float], Any]) -> Callable[[float], Any]:
        """Return a wait that raises BoardError where the board writes without end to standard error."""

        def checked(slice_s: float) -> Any:
            self._tail.refuse_flood()
            return is_ready(slice_s)

        return checked

    def _broke(self) -> BoardError | ConnectionLost:
        """Return the error of a connection that is gone, or that was ended because the server broke its bounds."""
        reason = self._channel.get_transport().saved_exception
        if isinstance(reason, Flooded):
            return BoardError(f"{self._name}: the board's SSH server was refused: {reason}")
        return ConnectionLost(f"{self._name}: the connection broke")

    def _ended(self) -> bool:
        channel = self._channel
        return bool(self.closed or channel.eof_received or channel.exit_status != -1 or exit_signal(channel))

    def _read_stderr(self) -> bytes:
        while True:
            try:
                data: bytes = self._channel.recv_stderr(CHUNK_BYTES)
            except TimeoutError:
                continue
            except BROKEN:
                return b""
            return data

    def write(self, data: bytes | memoryview) -> None:
        if not self._login.is_over and self._keep_for_later(data):
            return
        self._await_begin_of_input()
        self._write_all(data)

    def _keep_for_later(self, data: bytes | memoryview) -> bool:
        """Keep a little input until the command has begun; return whether it was kept."""
        with self._pending_lock:
            if self._is_sent or len(self._pending) + len(data) > _MOST_PENDING_BYTES:
                return False
            self._pending += data
            return True

    def _send_pending(self) -> None:
        with self._pending_lock:
            self._is_sent, pending = True, bytes(self._pending)
            self._pending.clear()
            if pending:
                self._write_all(pending)

    def _await_begin_of_input(self) -> None:
        try:
            self._await_command(time.monotonic() + limits.WRITE_STALL_S)
        except TimeoutError as error:
            raise ConnectionLost(f"{self._name}: the board took no data for {limits.WRITE_STALL_S:g} s") from error

    def _write_all(self, data: bytes | memoryview) -> None:
        with memoryview(data) as view:
            sent = 0
            while sent < len(view):
                count = self._send(view[sent:])
                if count == 0:
                    if self._ended():
                        raise BrokenPipeError("the command no longer reads")
                    raise self._broke()
                sent += count

    def _send(self, view: memoryview) -> int:
        """Send what there is room for; return how much that was, 0 where the channel is closed."""
        sent: list[int] = []

        def has_sent(slice_s: float) -> bool:
            self._channel.settimeout(max(0.05, slice_s))  # 0: standard error would be polled without a pause
            with suppress(TimeoutError):
                sent.append(self._channel.send(view))
            return bool(sent)

        try:
            if not ending.wait(self._unless_flooded(has_sent), limits.WRITE_STALL_S):
                raise ConnectionLost(f"{self._name}: the board took no data for {limits.WRITE_STALL_S:g} s")
        except BROKEN:
            return 0
        return sent[0]

    def end_input(self) -> None:
        self._await_begin_of_input()
        self._request(self._channel.shutdown_write)

    def wait(self, *, timeout_s: float) -> int | None:
        if not ending.wait(self._unless_flooded(self._channel.status_event.wait), timeout_s):
            return None
        if not self._ended():
            raise self._broke()
        self._tail.join(limits.ANSWER_S)  # its last output may still be on its way
        status: int = self._channel.exit_status
        return status if status != -1 else exit_signal(self._channel)

    def stderr(self) -> bytes:
        return self._tail.bytes()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            with suppress(ConnectionLost):
                self._request(self._channel.close)
            self.join()

    def abandon(self) -> None:
        """Mark it as closed: the connection is about to be closed with all its channels."""
        self.closed = True

    def join(self) -> None:
        """Wait for the thread that drains standard error; the channel is closed."""
        self._tail.join(limits.ANSWER_S)

    def _request(self, request: Callable[[], None]) -> None:
        try:
            request()
        except BROKEN as error:
            raise self._broke() from error


def answers(session: Any, *, name: str) -> bool:
    """Return whether the SSH server of a connection is there, and answers a request."""
    answered = threading.Event()

    def ask() -> None:
        with suppress(*BROKEN):
            session.global_request("keepalive@openssh.com", wait=True)
            if session.is_active():
                answered.set()

    threading.Thread(target=ask, name=f"edgebench-alive-{name}", daemon=True).start()
    return ending.wait(answered.wait, limits.ANSWER_S)


def exit_signal(channel: Any) -> int | None:
    """Return the signal that ended the command as a status below 0, or None."""
    name = getattr(channel, "edgebench_exit_signal", None)
    if name is None:
        return None
    try:
        return -signal.Signals[f"SIG{name.partition('@')[0]}"].value
    except KeyError:
        return -int(signal.SIGKILL)
