"""Opening and closing one connection of a route; every error on the way is translated here."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import paramiko  # type: ignore[import-untyped]
from fabric import Connection

from edgebench.board.transport.ssh import limits
from edgebench.board.transport.ssh.host_keys import HostKeyCheck, ShowHostKey
from edgebench.board.transport.ssh.login import Login
from edgebench.board.transport.ssh.route import ssh_command
from edgebench.board.transport.ssh.session import Session
from edgebench.errors import ConnectionFailed, DeviceError


def open_hop(hop: Connection, login: Login, *, verify: bool = True) -> None:
    """Open one connection of a route; not `verify`: only as far as to raise HostKeyShown.

    Raises:
        ConnectionFailed, HostKeyError, AuthenticationError.
    """
    host_keys = HostKeyCheck.of(hop, login)
    hop.client.set_missing_host_key_policy(host_keys if verify else ShowHostKey())
    hop.config.authentication.strategy_class = login.strategy
    with _translated_errors(hop, login):
        hop.connect_kwargs = {
            "timeout": limits.CONNECT_S,
            "banner_timeout": limits.CONNECT_S,
            "auth_timeout": limits.ANSWER_S,
            "channel_timeout": limits.ANSWER_S,
            "transport_factory": partial(Session, key_kinds=host_keys.kinds()),
        }
        if not hop.gateway:
            hop.connect_kwargs["sock"] = _tcp_socket(hop.host, hop.port)
        hop.connect_timeout = None
        hop.open()
        hop.transport.set_keepalive(limits.KEEPALIVE_S)


def close_hop(hop: Connection) -> None:
    """Close one connection of a route, and end its threads."""
    session = hop.client.get_transport()
    hop.client.close()
    if session is not None:
        session.packetizer.complete_handshake()  # ends the timer of a handshake that failed
        session.close()
        session.sock.close()
        if session.is_alive():
            session.join(limits.ANSWER_S)


@contextmanager
def _translated_errors(hop: Connection, login: Login) -> Iterator[None]:
    where = f"{login.device}: can't reach {hop.host}:{hop.port}"
    try:
        yield
    except DeviceError:
        raise
    except socket.gaierror as error:
        raise ConnectionFailed(
            f"{login.device}: no such host: {hop.host!r} ({error.strerror}); check the name, or give the IP address"
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
        raise ConnectionFailed(f"{where}: {reason}; try: {ssh_command(hop)}") from error


def _tcp_socket(host: str, port: int) -> socket.socket:
    sock = socket.create_connection((host, port), timeout=limits.CONNECT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limits.DEAD_LINK_MS)
    return sock
