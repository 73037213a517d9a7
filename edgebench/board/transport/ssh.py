"""A board over SSH: the one module that knows Fabric and paramiko.

Fabric finds the way (host, user, port, jump hosts) and opens the connections; commands run on exec channels of the
connection, never through Fabric's `run`, which reconnects without a word. Every exception of Fabric, paramiko and the
socket is translated here.
"""

from __future__ import annotations

import logging
import shlex
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import paramiko  # type: ignore[import-untyped]
from fabric import Config, Connection
from paramiko.auth_strategy import AuthStrategy  # type: ignore[import-untyped]

from edgebench.board.transport.base import CHUNK_BYTES, StderrTail, Stream, Transport
from edgebench.board.transport.known_hosts import SSH_PORT, HostKey, KnownKeys, known_keys, lookup_name
from edgebench.board.transport.ssh_config import ssh_config_text
from edgebench.device import Device
from edgebench.errors import (
    AuthenticationError,
    BoardError,
    ConfigError,
    ConnectionFailed,
    ConnectionLost,
    DeviceError,
    HostKeyError,
)

CONNECT_S = 10.0
#: How long the board may take to answer a request on an open connection (a login, a command's start).
ANSWER_S = 20.0
#: How long a command may take nothing of what is written to it.
WRITE_STALL_S = 60.0
#: A link that acknowledges nothing for so long is given up by the kernel; paramiko by itself would wait for ever.
DEAD_LINK_MS = 10_000
KEEPALIVE_S = 5

_SYSTEM_KNOWN_HOSTS = (Path("/etc/ssh/ssh_known_hosts"), Path("/etc/ssh/ssh_known_hosts2"))
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")

#: What paramiko raises where a connection is gone.
_BROKEN = (paramiko.SSHException, EOFError, OSError)

# Without a handler of its own, Python prints paramiko's tracebacks of every failed connection to standard error.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class SshTransport(Transport):
    """Commands on a board through one SSH connection.

    ~/.ssh/config counts (aliases, users, ports, keys, jump hosts, known hosts); what the device says comes first.
    Login is by agent or key file; `password` is for installing a key and is then the only way tried.

    Raises:
        ConfigError: the device has no host, or its pinned key or ~/.ssh/config is not valid.
    """

    shares_files = False

    def __init__(self, device: Device, *, password: str | None = None) -> None:
        if device.host is None:
            raise ConfigError(f"device {device.name!r} has no host")
        if device.host_key is not None and HostKey.parse(device.host_key) is None:
            raise ConfigError(
                f"device {device.name!r}: host_key must look like 'ssh-ed25519 AAAA...', got {device.host_key[:40]!r}"
            )
        self.name = device.name
        self._device = device
        self._host = device.host
        self._password = password
        self._hops: list[Connection] = []
        self._streams: list[SshStream] = []

    def connect(self) -> None:
        if self._hops and self._hops[-1].is_connected:
            return
        self.close()
        self._hops = _way_to(self._host, self._device.user, self._device.port)
        try:
            for hop in self._hops:
                _open(hop, _Login.of(self._device, hop, password=self._password, last=hop is self._hops[-1]))
        except BaseException:
            self.close()
            raise

    def start(self, argv: Sequence[str]) -> Stream:
        command = "exec " + shlex.join(argv)
        if "\0" in command:
            raise ValueError("an argument can't hold a NUL")
        stream = SshStream(self._exec(command), name=self.name)
        self._streams = [other for other in self._streams if not other.closed] + [stream]
        return stream

    def _exec(self, command: str) -> Any:
        session = self._hops[-1].transport if self._hops else None
        if session is None or not session.is_active():
            raise ConnectionLost(f"{self.name}: there is no connection to the board")
        try:
            channel = session.open_session(timeout=ANSWER_S)
            # exec_command waits for its answer without a limit; closing the channel ends that.
            watchdog = threading.Timer(ANSWER_S, channel.close)
            watchdog.daemon = True
            watchdog.start()
            try:
                channel.exec_command(command)
            finally:
                watchdog.cancel()
        except _BROKEN as error:
            if isinstance(error, paramiko.ChannelException) and session.is_active():
                raise BoardError(f"{self.name}: the board's SSH server refuses another session: {error}") from error
            raise ConnectionLost(f"{self.name}: the connection broke while starting a command") from error
        return channel

    def close(self) -> None:
        for stream in self._streams:
            stream.abandon()
        for hop in reversed(self._hops):
            _close(hop)
        for stream in self._streams:
            stream.join()
        self._streams = []
        self._hops = []


class SshStream(Stream):
    """A command on an exec channel."""

    def __init__(self, channel: Any, *, name: str) -> None:
        self._channel = channel
        self._name = name
        channel.settimeout(WRITE_STALL_S)
        self._readable = threading.Event()
        channel.in_buffer.set_event(self._readable)
        self._tail = StderrTail(self._read_stderr, name=name)
        self.closed = False

    def read(self, limit: int, *, timeout_s: float) -> bytes:
        if not self._readable.wait(max(0.0, timeout_s)):
            raise TimeoutError(f"no output for {timeout_s:g} s")
        try:
            data: bytes = self._channel.recv(limit)
        except _BROKEN as error:  # it also tells the board that there is room for more
            raise ConnectionLost(f"{self._name}: the connection broke") from error
        if not data and not self._ended():
            # A cut looks like an end: no bytes. Only an end was announced.
            raise ConnectionLost(f"{self._name}: the connection broke")
        return data

    def _ended(self) -> bool:
        channel = self._channel
        return bool(self.closed or channel.eof_received or channel.exit_status != -1 or _exit_signal(channel))

    def _read_stderr(self) -> bytes:
        while True:
            try:
                data: bytes = self._channel.recv_stderr(CHUNK_BYTES)
            except TimeoutError:
                continue
            except _BROKEN:
                return b""
            return data

    def write(self, data: bytes | memoryview) -> None:
        with memoryview(data) as view:
            sent = 0
            while sent < len(view):
                count = self._send(view[sent:])
                if count == 0:
                    if self._ended():
                        raise BrokenPipeError("the command no longer reads")
                    raise ConnectionLost(f"{self._name}: the connection broke")
                sent += count

    def _send(self, view: memoryview) -> int:
        try:
            count: int = self._channel.send(view)
        except TimeoutError as error:
            raise ConnectionLost(f"{self._name}: the board took no data for {WRITE_STALL_S:g} s") from error
        except _BROKEN:
            return 0
        return count

    def end_input(self) -> None:
        self._tell(self._channel.shutdown_write)

    def wait(self, *, timeout_s: float) -> int | None:
        if not self._channel.status_event.wait(max(0.0, timeout_s)):
            return None
        if not self._ended():
            raise ConnectionLost(f"{self._name}: the connection broke")
        self._tail.join(ANSWER_S)  # what it wrote last may still be on its way
        status: int = self._channel.exit_status
        return status if status != -1 else _exit_signal(self._channel)

    def stderr(self) -> bytes:
        return self._tail.bytes()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            with suppress(ConnectionLost):
                self._tell(self._channel.close)
            self.join()

    def abandon(self) -> None:
        """Count as closed; the connection itself is about to be."""
        self.closed = True

    def join(self) -> None:
        """Wait for the thread that drains standard error; the channel is closed."""
        self._tail.join(ANSWER_S)

    def _tell(self, request: Callable[[], None]) -> None:
        try:
            request()
        except _BROKEN as error:
            raise ConnectionLost(f"{self._name}: the connection broke") from error


# --- the session ------------------------------------------------------------------------------------------------


def preferred_ciphers(known: Sequence[str]) -> list[str]:
    """Return the ciphers in the order to offer them: AES-GCM, then what the library prefers.

    GCM encrypts and authenticates in one pass; CTR, the library's first choice, needs an HMAC besides. With AES
    instructions on both sides that decides it. Without (a Raspberry Pi 4, say), GCM was as fast as CTR + HMAC-SHA-256
    where only the AES and carry-less multiplication instructions were masked (319 and 317 MB/s, OpenSSL 3.0, one x86
    core), and faster in plain C (182 and 154 MB/s). So no kind of board wants another order; ChaCha20, which would
    beat both there, paramiko doesn't have.
    """
    return sorted(known, key=lambda name: "gcm" not in name)


class _Packets(paramiko.packet.Packetizer):  # type: ignore[misc]
    """paramiko's packets, but a write that gets nowhere ends.

    TCP_USER_TIMEOUT does that for a socket. Through a jump host the "socket" is a channel, and paramiko would wait
    for room in it for ever.
    """

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self._sock = sock

    def write_all(self, out: bytes) -> None:
        """Write all of `out`.

        Raises:
            EOFError: the connection is gone, or given up.
        """
        view = memoryview(out)
        deadline = time.monotonic() + WRITE_STALL_S
        while view:
            try:
                count = self._sock.send(view)
            except (TimeoutError, BlockingIOError):
                if self.closed or time.monotonic() > deadline:
                    self.close()  # half a packet may be out: nothing can follow it
                    raise EOFError from None
                continue
            except OSError as error:
                raise EOFError from error
            if count == 0:
                raise EOFError
            view = view[count:]
            deadline = time.monotonic() + WRITE_STALL_S


class _Session(paramiko.Transport):  # type: ignore[misc]
    """paramiko's session, with the host keys and ciphers that we want, and exit-signal, which paramiko drops."""

    def __init__(self, sock: Any, *, key_kinds: Sequence[str], disabled_algorithms: Any = None) -> None:
        super().__init__(sock, disabled_algorithms=disabled_algorithms, packetizer_class=_Packets)
        options = self.get_security_options()
        options.ciphers = preferred_ciphers(options.ciphers)
        # The server must show a key of a kind that is known, if it has one. An RSA key signs by newer names.
        wanted = [name for kind in key_kinds for name in (kind, *_RSA_SIGNATURES.get(kind, ()))]
        options.key_types = sorted(options.key_types, key=lambda kind: kind not in wanted)
        self.banner_timeout = self.handshake_timeout = CONNECT_S
        self.auth_timeout = self.channel_timeout = ANSWER_S

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
    }


_RSA_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}


def _exit_signal(channel: Any) -> int | None:
    """Return the signal that ended the command as a status below 0, or None."""
    name = getattr(channel, "edgebench_exit_signal", None)
    if name is None:
        return None
    try:
        return -signal.Signals[f"SIG{name.partition('@')[0]}"].value
    except KeyError:
        return -int(signal.SIGKILL)


# --- the way there ----------------------------------------------------------------------------------------------


def _way_to(host: str, user: str | None, port: int | None) -> list[Connection]:
    """Return the connections to open, one after another, each through the one before; the last is the board's.

    Raises:
        ConfigError: not a host's name, or ~/.ssh/config can't be read.
    """
    try:
        if any(character.isspace() or character in "*?!," for character in host):
            raise ValueError("not a host's name")
        # In the first rule, so that %p in a ProxyCommand is the port that the device says.
        first = f"Host {host}\n  Port {port}\n" if port is not None else ""
        rules = paramiko.SSHConfig.from_text(first + ssh_config_text())
        return _chain(rules, host, user, port, frozenset())
    except (paramiko.ConfigParseError, ValueError) as error:
        raise ConfigError(f"can't find the way to {host!r}, as ~/.ssh/config tells it: {error}") from error


def _chain(rules: Any, host: str, user: str | None, port: int | None, through: frozenset[str]) -> list[Connection]:
    # Fabric would visit several jump hosts in the reverse of OpenSSH's order, and checks no jump host's key.
    settings = rules.lookup(host)
    jumps = settings.get("proxyjump", "none")
    hops: list[Connection] = []
    for jump in [] if _says_none(jumps) else jumps.split(","):
        way = Connection(jump.strip().removeprefix("ssh://"), config=_fabric_config(rules), gateway=False)
        if way.original_host in through or way.original_host == host:
            continue  # a rule for all hosts covers the jump host itself
        if hops:
            hops.append(_connection(rules, way.original_host, way.user, way.port, gateway=hops[-1]))
        else:
            hops = _chain(rules, way.original_host, way.user, way.port, through | {host})
    gateway = hops[-1] if hops else settings.get("proxycommand", False)
    return [*hops, _connection(rules, host, user, port, gateway=gateway)]


def _says_none(value: str) -> bool:
    """Return whether a ProxyJump says that there is none."""
    return value.strip().lower() in ("", "none")


def _connection(rules: Any, host: str, user: str | None, port: int | None, *, gateway: Any) -> Connection:
    return Connection(host, user=user, port=port, config=_fabric_config(rules), gateway=gateway)


def _fabric_config(rules: Any) -> Config:
    # lazy: what a fabric.yml or fabric.py of the user says must not change how boards are reached.
    return Config(ssh_config=rules, lazy=True)


def _tcp_socket(host: str, port: int) -> socket.socket:
    sock = socket.create_connection((host, port), timeout=CONNECT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_LINK_MS)
    return sock


def _open(hop: Connection, login: _Login, *, verify: bool = True) -> None:
    host_keys = _HostKeys.of(hop, login)
    hop.client.set_missing_host_key_policy(host_keys if verify else _Show())
    hop.config.authentication.strategy_class = login.strategy
    with _translated(hop, login):
        hop.connect_kwargs = {
            "timeout": CONNECT_S,
            "banner_timeout": CONNECT_S,
            "auth_timeout": ANSWER_S,
            "channel_timeout": ANSWER_S,
            "transport_factory": partial(_Session, key_kinds=host_keys.kinds()),
        }
        if not hop.gateway:
            hop.connect_kwargs["sock"] = _tcp_socket(hop.host, hop.port)
        hop.connect_timeout = None
        hop.open()
        hop.transport.set_keepalive(KEEPALIVE_S)


def _close(hop: Connection) -> None:
    session = hop.client.get_transport()
    hop.client.close()
    if session is not None:
        session.packetizer.complete_handshake()  # ends the timer of a handshake that failed
        session.close()
        session.sock.close()
        if session.is_alive():
            session.join(ANSWER_S)


@contextmanager
def _translated(hop: Connection, login: _Login) -> Iterator[None]:
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
            f"{where}: no answer within {CONNECT_S:g} s; is the board on, and in this network?"
        ) from error
    except ConnectionRefusedError as error:
        raise ConnectionFailed(
            f"{where}: connection refused; is its SSH server running, on this port? (sudo systemctl start ssh)"
        ) from error
    except OSError as error:
        raise ConnectionFailed(f"{where}: {error.strerror or error}; check the network and the address") from error
    except (paramiko.SSHException, EOFError) as error:
        reason = str(error) or "the connection was closed"
        raise ConnectionFailed(f"{where}: {reason}; try: {_ssh_command(hop)}") from error


def _ssh_command(hop: Connection) -> str:
    """Return the command line that opens the same connection by hand."""
    port = f"-p {hop.port} " if hop.port != SSH_PORT else ""
    return f"ssh {port}{hop.user}@{hop.original_host}"


# --- host keys --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _HostKeys(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """Decides about the key that a server shows. paramiko's own list stays empty, so it asks for every key."""

    device: str
    name: str  # as known_hosts lists it
    command: str
    pinned: HostKey | None
    known: KnownKeys

    @staticmethod
    def of(hop: Connection, login: _Login) -> _HostKeys:
        name = hop.ssh_config.get("hostkeyalias") or lookup_name(hop.host, hop.port)
        files = shlex.split(hop.ssh_config.get("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2"))
        paths = [*(Path(path).expanduser() for path in files), *_SYSTEM_KNOWN_HOSTS]
        return _HostKeys(login.device, name, _ssh_command(hop), login.pinned, known_keys(name, paths))

    def kinds(self) -> list[str]:
        """Return the kinds of key that are known."""
        return [key.kind for key in ([self.pinned] if self.pinned else self.known.accepted)]

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        shown = HostKey(key.get_name(), key.asbytes())
        about = f"{self.device}: {self.name} shows the host key {shown.kind} {shown.fingerprint}"
        if shown in self.known.revoked:
            raise HostKeyError(f"{about}, which known_hosts lists as revoked; don't use this board as it is")
        if self.pinned is not None:
            if shown != self.pinned:
                raise HostKeyError(
                    f"{about}, but {self.pinned.kind} {self.pinned.fingerprint} is pinned; if the board was set up "
                    f"anew, pin the new key with --host-key; else someone may be in between"
                )
        elif not self.known.accepted:
            raise HostKeyError(
                f"{about}, which is not known; compare it with the board's own (ssh-keygen -lf "
                f"/etc/ssh/ssh_host_ed25519_key.pub), then connect once with: {self.command} "
                f"(or pass --host-key '{shown}')"
            )
        elif shown not in self.known.accepted:
            known = ", ".join(f"{key.kind} {key.fingerprint}" for key in self.known.accepted)
            raise HostKeyError(
                f"{about}, which has changed: known_hosts lists {known}; if the board was set up anew: "
                f"ssh-keygen -R '{self.name}', then {self.command}; else someone may be in between"
            )


# --- login ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Login:
    """How to log in at one hop."""

    device: str  # its name, for messages
    command: str  # the same by hand, for messages
    identity_file: str | None = None
    pinned: HostKey | None = None
    password: str | None = None

    @staticmethod
    def of(device: Device, hop: Connection, *, password: str | None, last: bool) -> _Login:
        """Return the login for a hop: only the last one is the board itself, with its own key, pin and password."""
        if not last:
            return _Login(f"{device.name}: jump host", _ssh_command(hop))
        return _Login(
            device.name,
            _ssh_command(hop),
            identity_file=device.identity_file,
            pinned=HostKey.parse(device.host_key) if device.host_key else None,
            password=password,
        )

    def strategy(self, ssh_config: Any, fabric_config: Config, username: str) -> AuthStrategy:
        """Return what Fabric asks to log in; never anything that prompts."""
        if self.password is not None:
            return _PasswordLogin(self, ssh_config, username)
        return _KeyLogin(self, ssh_config, username)


class _PasswordLogin(AuthStrategy):  # type: ignore[misc]
    def __init__(self, login: _Login, ssh_config: Any, username: str) -> None:
        super().__init__(ssh_config)
        self._login = login
        self._username = username

    def authenticate(self, transport: Any) -> None:
        try:
            transport.auth_password(self._username, self._login.password)
        except paramiko.BadAuthenticationType as error:
            raise AuthenticationError(
                f"{self._login.device}: the board takes no passwords, only {', '.join(error.allowed_types)}; "
                f"add the public key to its ~/.ssh/authorized_keys by other means"
            ) from error
        except paramiko.AuthenticationException as error:
            raise AuthenticationError(
                f"{self._login.device}: the board refuses this password for {self._username!r}; check both"
            ) from error


class _KeyLogin(AuthStrategy):  # type: ignore[misc]
    """Key files that were named, then the agent's keys, then the default files; never a question."""

    def __init__(self, login: _Login, ssh_config: Any, username: str) -> None:
        super().__init__(ssh_config)
        self._login = login
        self._username = username
        self._tried: list[str] = []

    def authenticate(self, transport: Any) -> None:
        agent = _agent()
        try:
            for what, key in self._keys(agent):
                if self._accepted(transport, what, key):
                    return
                if not transport.is_active():
                    self._tried.append("then the server ended the connection")
                    break
        finally:
            if agent is not None:
                agent.close()
        tried = "; ".join(self._tried) or "nothing: there is no agent and no key file"
        raise AuthenticationError(
            f"{self._login.device}: the board refuses the login of {self._username!r} (tried {tried}); "
            f"install a key with --copy-id, or check: {self._login.command}"
        )

    def _accepted(self, transport: Any, what: str, key: Any) -> bool:
        try:
            further = transport.auth_publickey(self._username, key)
        except (paramiko.SSHException, EOFError, OSError, ValueError) as error:
            refused = isinstance(error, paramiko.AuthenticationException)
            self._tried.append(f"{what}: {'refused' if refused else error or 'no answer'}")
            return False
        if further:
            self._tried.append(f"{what}: accepted, but the server also wants {', '.join(further)}")
        return not further

    def _keys(self, agent: Any) -> Iterator[tuple[str, Any]]:
        """Yield what to try, each key once."""
        seen: set[bytes] = set()
        named = [self._login.identity_file] if self._login.identity_file else self.ssh_config.get("identityfile", [])
        default = [] if named else [str(Path.home() / ".ssh" / name) for name in _DEFAULT_KEYS]
        yield from self._fresh(self._files(named, must_exist=bool(self._login.identity_file)), seen)
        if agent is not None and self.ssh_config.get("identitiesonly", "no").lower() != "yes":
            keys = ((f"agent key {key.get_name()} {key.comment}".strip(), key) for key in agent.get_keys())
            yield from self._fresh(keys, seen)
        yield from self._fresh(self._files(default, must_exist=False), seen)

    @staticmethod
    def _fresh(keys: Iterator[tuple[str, Any]], seen: set[bytes]) -> Iterator[tuple[str, Any]]:
        for what, key in keys:
            if key.asbytes() not in seen:
                seen.add(key.asbytes())
                yield what, key

    def _files(self, names: Sequence[str], *, must_exist: bool) -> Iterator[tuple[str, Any]]:
        for name in names:
            path = Path(name).expanduser()
            if not path.exists() and not must_exist:
                continue
            try:
                yield f"key file {path}", paramiko.PKey.from_path(path)
            except OSError as error:
                self._tried.append(f"key file {path}: {error.strerror}")
            except (paramiko.PasswordRequiredException, TypeError):
                self._tried.append(f"key file {path}: it has a passphrase (try: ssh-add {shlex.quote(str(path))})")
            except (paramiko.SSHException, ValueError) as error:
                self._tried.append(f"key file {path}: not a private key ({type(error).__name__})")


def _agent() -> Any:
    """Return the SSH agent, or None where none answers."""
    try:
        return paramiko.Agent()
    except (paramiko.SSHException, OSError):
        return None


# --- enrolling a board ------------------------------------------------------------------------------------------


class _Shown(Exception):
    """Ends a connection once the server's host key was seen."""

    def __init__(self, key: HostKey) -> None:
        super().__init__(str(key))
        self.key = key


class _Show(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        raise _Shown(HostKey(key.get_name(), key.asbytes()))


def fetch_host_key(host: str, port: int | None = None) -> tuple[str, str]:
    """Return the key that a server shows ("ssh-ed25519 AAAA...") and its fingerprint, without logging in.

    It is not verified by anything: a person compares the fingerprint, and pins the key. Jump hosts on the way are
    verified as always.

    Raises:
        ConnectionFailed: the server can't be reached.
    """
    hops = _way_to(host, None, port)
    try:
        for hop in hops:
            last = hop is hops[-1]
            _open(hop, _Login(host if last else f"{host}: jump host", command=_ssh_command(hop)), verify=not last)
    except _Shown as shown:
        return str(shown.key), shown.key.fingerprint
    finally:
        for hop in reversed(hops):
            _close(hop)
    raise AssertionError("unreachable: the last hop always ends in _Shown")


# The key comes on standard input: nothing of it passes through the shell. Prints what was done.
_INSTALL_KEY = """
set -e
umask 077
IFS= read -r key
mkdir -p "$HOME/.ssh"
chmod 700 "$HOME/.ssh"
file=$HOME/.ssh/authorized_keys
touch "$file"
chmod 600 "$file"
if grep -qxF -e "$key" "$file"; then echo known; exit; fi
if [ -s "$file" ] && [ -n "$(tail -c 1 "$file")" ]; then echo >>"$file"; fi
printf '%s\\n' "$key" >>"$file"
echo added
"""


def install_public_key(device: Device, public_key: str, password: str) -> bool:
    """Log in with the password once and add a public key to the board's authorized_keys; check that it opens the door.

    Args:
        public_key: one line, as in id_ed25519.pub.

    Returns: whether the key was new there.

    Raises:
        ConfigError: `public_key` is not one.
        AuthenticationError: the password is refused, or the key still is afterwards.
        BoardError: the board's authorized_keys can't be written.
        ConnectionFailed: the board can't be reached, or its host key is not the known one.
    """
    line = public_key.strip()
    if "\n" in line or HostKey.parse(line) is None:
        raise ConfigError(f"not a public key: {line[:40]!r}; give the one line of a .pub file")
    with SshTransport(device, password=password) as board:
        result = board.run(["sh", "-c", _INSTALL_KEY], input=line.encode() + b"\n", timeout_s=ANSWER_S)
    if result.status != 0:
        said = result.stderr.decode(errors="replace").strip()[-200:]
        raise BoardError(f"{device.name}: can't write ~/.ssh/authorized_keys on the board: {said}")
    with SshTransport(device):
        return result.stdout.strip() == b"added"
