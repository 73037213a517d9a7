"""Opening and closing one connection of a route; every error on the way is translated here."""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import paramiko  # type: ignore[import-untyped]

from edgebench import ending
from edgebench.board.transport.ssh import limits
from edgebench.board.transport.ssh.host_keys import HostKeyCheck, ShowHostKey
from edgebench.board.transport.ssh.login import Login
from edgebench.board.transport.ssh.route import Hop
from edgebench.board.transport.ssh.session import Session
from edgebench.board.transport.ssh.settings import HostSettings
from edgebench.errors import ConnectionFailed, DeviceError


def open_hop(hop: Hop, login: Login, *, verify: bool = True) -> None:
    """Open one connection of a route; not `verify`: only as far as to raise HostKeyShown.

    Raises:
        ConnectionFailed, HostKeyError, AuthenticationError.
    """
    host_keys = HostKeyCheck.of(hop.settings, login)
    connection = hop.connection
    connection.client.set_missing_host_key_policy(host_keys if verify else ShowHostKey(host_keys))
    connection.config.authentication.strategy_class = login.strategy
    with _translated_errors(hop, login):
        connection.connect_kwargs = {
            "timeout": _within(limits.CONNECT_S),
            "banner_timeout": _within(limits.CONNECT_S),
            "auth_timeout": _within(limits.ANSWER_S),
            "channel_timeout": _within(limits.ANSWER_S),
            "transport_factory": partial(
                Session, key_kinds=host_keys.kinds(), certificates_first=bool(host_keys.authorities)
            ),
        }
        if not connection.gateway:
            connection.connect_kwargs["sock"] = _socket(hop.settings)
        connection.connect_timeout = None
        connection.open()
        connection.transport.set_keepalive(limits.KEEPALIVE_S)


def _within(seconds: float) -> float:
    """Return a timeout, cut to what is left of an ending; never 0, which means none."""
    return max(0.05, ending.left_s(seconds))


def _socket(settings: HostSettings) -> Any:
    if settings.proxy_command is None:
        return _tcp_socket(settings.hostname, settings.port)
    # As OpenSSH: by the user's shell, which is replaced by the command.
    shell = os.environ.get("SHELL") or "/bin/sh"
    return paramiko.ProxyCommand(shlex.join([shell, "-c", f"exec {settings.proxy_command}"]))


def close_hop(hop: Hop) -> None:
    """Close one connection of a route, and end its threads."""
    client = hop.connection.client
    session = client.get_transport()
    client.close()
    if session is not None:
        session.packetizer.complete_handshake()  # ends the timer of a handshake that failed
        session.close()
        session.sock.close()
        if session.is_alive():
            session.join(ending.left_s(limits.ANSWER_S))


@contextmanager
def _translated_errors(hop: Hop, login: Login) -> Iterator[None]:
    where = f"{login.device}: can't reach {hop.settings.hostname}:{hop.settings.port}"
    try:
        yield
    except DeviceError:
        raise
    except socket.gaierror as error:
        raise ConnectionFailed(
            f"{login.device}: no such host: {hop.settings.hostname!r} ({error.strerror}); "
            f"check the name, or give the IP address"
        ) from error
    except TimeoutError as error:
        raise ConnectionFailed(
            f"{where}: no answer within {limits.CONNECT_S:g} s; is the board on, and in this network?"
        ) from error
    except ConnectionRefusedError as error:
        raise ConnectionFailed(
            f"{where}: connection refused; is its SSH server running, on this port? (sudo systemctl start ssh)"
        ) from error
    except OSError as error:
        raise ConnectionFailed(f"{where}: {error.strerror or error}; check the network and the address") from error
    except (paramiko.SSHException, EOFError) as error:
        reason = str(error) or "the connection was closed"
        raise ConnectionFailed(f"{where}: {reason}; try: {login.command}") from error


def _tcp_socket(host: str, port: int) -> socket.socket:
    sock = socket.create_connection((host, port), timeout=_within(limits.CONNECT_S))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limits.DEAD_LINK_MS)
    return sock
