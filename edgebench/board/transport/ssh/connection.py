"""Commands on a board through one SSH connection.

The configuration of OpenSSH says the route (host, user, port, jump hosts) and Fabric opens the connections. Commands
run on exec channels of the connection, never through Fabric's `run`, which reconnects without saying so.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from typing import Any

import paramiko  # type: ignore[import-untyped]

from edgebench import ending
from edgebench.board.transport.base import Stream, Transport
from edgebench.board.transport.known_hosts import HostKey
from edgebench.board.transport.ssh import limits
from edgebench.board.transport.ssh.channel import BROKEN, SshStream, answers
from edgebench.board.transport.ssh.command_line import command_line
from edgebench.board.transport.ssh.hop import close_hop, open_hop
from edgebench.board.transport.ssh.login import Login
from edgebench.board.transport.ssh.route import Hop, find_route, hops_of
from edgebench.board.transport.ssh.settings import HostSettings
from edgebench.device import Device
from edgebench.errors import BoardError, ConfigError, ConnectionLost
from edgebench.text import printable


class SshTransport(Transport):
    """Commands on a board through one SSH connection.

    ~/.ssh/config applies (aliases, users, ports, keys, jump hosts, known hosts); the device's settings come first.
    Login is by SSH agent or key file, or by `password` alone, to install a key.

    Raises:
        ConfigError: the device has no host or a NUL, or its pinned key or ~/.ssh/config is not valid.
    """

    shares_files = False

    def __init__(self, device: Device, *, password: str | None = None) -> None:
        if device.host is None:
            raise ConfigError(f"device {device.name!r} has no host")
        device.refuse_nul()
        if device.host_key is not None and HostKey.parse(device.host_key) is None:
            raise ConfigError(
                f"device {device.name!r}: host_key must look like 'ssh-ed25519 AAAA...', got {device.host_key[:40]!r}"
            )
        self.name = device.name
        self._device = device
        self._host = device.host
        self._password = password
        self._route: list[HostSettings] | None = None
        self._hops: list[Hop] = []
        self._streams: list[SshStream] = []

    def connect(self) -> None:
        if self._hops and self._hops[-1].connection.is_connected:
            return
        self.close()
        if self._route is None:  # once: the network may be gone when it is connected again, and names not resolve
            self._route = find_route(self._host, self._device.user, self._device.port)
        self._hops = hops_of(self._route)
        try:
            for hop in self._hops:
                open_hop(hop, Login.of(self._device, hop.settings, password=self._password, last=hop is self._hops[-1]))
        except BaseException:
            self.close()
            raise

    def start(self, argv: Sequence[str]) -> Stream:
        marker = f"edgebench-{secrets.token_hex(8)}"
        stream = SshStream(self._exec(command_line(argv, marker)), name=self.name, marker=f"{marker}\n".encode())
        self._streams = [other for other in self._streams if not other.closed] + [stream]
        return stream

    def _exec(self, command: str) -> Any:
        session = self._hops[-1].connection.transport if self._hops else None
        if session is None or not session.is_active():
            raise ConnectionLost(f"{self.name}: there is no connection to the board")
        try:
            answer_s = max(0.05, ending.left_s(limits.ANSWER_S))
            channel = session.open_session(timeout=answer_s)
            # exec_command waits for its answer without a limit; closing the channel ends the wait.
            watchdog = threading.Timer(answer_s, channel.close)
            watchdog.daemon = True
            watchdog.start()
            try:
                channel.exec_command(command)
            finally:
                watchdog.cancel()
        except BROKEN as error:
            if isinstance(error, paramiko.ChannelException) and session.is_active():
                raise BoardError(
                    f"{self.name}: the board's SSH server refuses another session ({printable(error.text, 100)}); its "
                    f"sshd_config must allow a few at a time (MaxSessions, default 10)"
                ) from error
            if isinstance(error, paramiko.SSHException) and answers(session, name=self.name):
                raise BoardError(
                    f"{self.name}: the board's SSH server refuses to run a command, though the login succeeds; is the "
                    f"account restricted there (ForceCommand, a shell such as nologin, a key without commands)?"
                ) from error
            raise ConnectionLost(f"{self.name}: the connection broke while starting a command") from error
        return channel

    def close(self) -> None:
        for stream in self._streams:
            stream.abandon()
        for hop in reversed(self._hops):
            close_hop(hop)
        for stream in self._streams:
            stream.join()
        self._streams = []
        self._hops = []
