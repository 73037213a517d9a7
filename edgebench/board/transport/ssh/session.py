"""paramiko's session with our host key kinds and ciphers, exit signals, bounds, and writes that end on a dead link."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import paramiko  # type: ignore[import-untyped]

from edgebench import ending
from edgebench.board.transport.ssh import limits

# Without a handler of its own, Python prints paramiko's tracebacks of every failed connection to standard error.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


#: OpenSSH's own bound for a packet; paramiko would wait for 4 GiB.
_MOST_PACKET_BYTES = 256 << 10
#: What a server may write before and as its version; RFC 4253 allows it a few lines.
_MOST_BANNER_BYTES = 64 << 10


class Flooded(paramiko.SSHException):  # type: ignore[misc]
    """A server sends more than it may. The connection is ended."""


def preferred_ciphers(known: Sequence[str]) -> list[str]:
    """Return the ciphers in the order to offer them: AES-GCM, then what the library prefers.

    GCM encrypts and authenticates in one pass; CTR, the library's first choice, needs an HMAC in addition. With AES
    instructions on both sides GCM is therefore faster. Without them (a Raspberry Pi 4, say), GCM was as fast as CTR +
    HMAC-SHA-256 where only the AES and carry-less multiplication instructions were masked (319 and 317 MB/s, OpenSSL
    3.0, one x86 core), and faster in plain C (182 and 154 MB/s). So one order fits every kind of board. paramiko does
    not have ChaCha20, which would be faster than both there.
    """
    return sorted(known, key=lambda name: "gcm" not in name)


class Packetizer(paramiko.packet.Packetizer):  # type: ignore[misc]
    """paramiko's packets, with bounds to their size, and an end to writes that make no progress.

    TCP_USER_TIMEOUT ends them for a socket. Through a jump host the "socket" is a channel, and paramiko would wait
    for room in it for ever.
    """

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self._sock = sock
        self._banner_left = _MOST_BANNER_BYTES

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Read `n` bytes.

        Raises:
            Flooded: they are more than a packet may have.
            EOFError: the connection is gone, or was given up.
        """
        if n > _MOST_PACKET_BYTES:
            raise Flooded(f"it sent a packet of {n} bytes (at most {_MOST_PACKET_BYTES})")
        data: bytes = super().read_all(n, check_rekey)
        return data

    def _read_timeout(self, timeout: float) -> bytes:
        """Read some of the lines with which a server begins."""
        data: bytes = super()._read_timeout(timeout)
        self._banner_left -= len(data)
        if self._banner_left < 0:
            raise Flooded(f"it sent more than {_MOST_BANNER_BYTES} bytes before its version")
        return data

    def write_all(self, out: bytes) -> None:
        """Write all of `out`.

        Raises:
            EOFError: the connection is gone, or was given up.
        """
        view = memoryview(out)
        stalled_s = time.monotonic()
        while view:
            try:
                count = self._sock.send(view)
            except (TimeoutError, BlockingIOError):
                if self.closed or time.monotonic() - stalled_s > ending.left_s(limits.WRITE_STALL_S):
                    self.close()  # half a packet may be out: nothing can follow it
                    raise EOFError from None
                continue
            except OSError as error:
                raise EOFError from error
            if count == 0:
                raise EOFError
            view = view[count:]
            stalled_s = time.monotonic()


def _bounded(feed: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Return a handler of a channel's data that refuses what goes beyond the window, which paramiko would keep."""

    def take(channel: Any, message: Any) -> None:
        feed(channel, message)
        if len(channel.in_buffer) + len(channel.in_stderr_buffer) > channel.in_window_size:
            raise Flooded("it sent more than was asked for (the window of a channel)")

    return take


class Session(paramiko.Transport):  # type: ignore[misc]
    """paramiko's session with our preferred host keys and ciphers, bounds, and exit-signal, which paramiko ignores."""

    def __init__(
        self, sock: Any, *, key_kinds: Sequence[str], certificates_first: bool = False, disabled_algorithms: Any = None
    ) -> None:
        self._certificates_first = certificates_first
        super().__init__(sock, disabled_algorithms=disabled_algorithms, packetizer_class=Packetizer)
        options = self.get_security_options()
        options.ciphers = preferred_ciphers(options.ciphers)
        # The server must show a known kind of key, if it has one. RSA keys sign under newer names.
        wanted = [name for kind in key_kinds for name in (kind, *_RSA_SIGNATURES.get(kind, ()))]
        options.key_types = sorted(options.key_types, key=lambda kind: kind not in wanted)
        self.banner_timeout = self.handshake_timeout = limits.CONNECT_S
        self.auth_timeout = self.channel_timeout = limits.ANSWER_S

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """The host keys to ask for: certificates come first where an authority is known, else last."""
        names: tuple[str, ...] = super().preferred_keys
        return tuple(sorted(names, key=lambda name: "-cert-" not in name)) if self._certificates_first else names

    def _channel_request(channel: Any, message: Any) -> None:  # noqa: N805 - called as paramiko's table calls it
        position = message.packet.tell()
        kind = message.get_text()
        message.get_boolean()
        if kind == "exit-signal":
            channel.edgebench_exit_signal = message.get_text()
            channel.status_event.set()
        else:
            message.packet.seek(position)
            paramiko.Channel._handle_request(channel, message)

    _channel_handler_table = {  # noqa: RUF012 - as in paramiko
        **paramiko.Transport._channel_handler_table,
        paramiko.common.MSG_CHANNEL_REQUEST: _channel_request,
        paramiko.common.MSG_CHANNEL_DATA: _bounded(paramiko.Channel._feed),
        paramiko.common.MSG_CHANNEL_EXTENDED_DATA: _bounded(paramiko.Channel._feed_extended),
    }


_RSA_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
