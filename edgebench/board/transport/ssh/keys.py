"""The keys to log in with: key files, and keys of the SSH agent, which a public key file may choose."""

from __future__ import annotations

import base64
import binascii
import os
import shlex
import socket
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import paramiko  # type: ignore[import-untyped]

from edgebench.board.transport.known_hosts import HostKey
from edgebench.board.transport.ssh import limits
from edgebench.board.transport.ssh.settings import HostSettings, expanded
from edgebench.reading import open_file, read_text

_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_MAGIC = b"openssh-key-v1\0"
#: As OpenSSH's MAX_AGENT_IDENTITIES and MAX_AGENT_REPLY_LEN.
_MOST_AGENT_KEYS = 2048
_MOST_AGENT_BYTES = 256 * 1024


class LoginKeys:
    """The keys for one host, in the order to try them; `problems`: of the files that can't be used."""

    def __init__(self, settings: HostSettings, identity_file: str | None) -> None:
        """Name the keys; `identity_file`: the device's own, instead of those of the configuration."""
        self._settings = settings
        self._own = expanded(identity_file, where="identity_file") if identity_file else None
        self.problems: list[str] = []

    def __iter__(self) -> Generator[tuple[str, Any]]:
        """Yield keys with their descriptions, each once: named files, the agent's keys, default files.

        Of a file that holds only a public key, or needs a passphrase, the agent may have the private key. With
        IdentitiesOnly it is asked for such keys alone.
        """
        seen: set[bytes] = set()
        agent = self._open_agent()
        try:
            for what, key in self._keys([] if agent is None else list(agent.get_keys())):
                self._add_certificate(key)
                if key.asbytes() not in seen:
                    seen.add(key.asbytes())
                    yield what, key
        finally:
            if agent is not None:
                agent.close()

    def _open_agent(self) -> AgentAt | None:
        """Return the SSH agent with its keys, or None where none answers."""
        address = os.environ.get("SSH_AUTH_SOCK", "") if self._settings.agent is None else self._settings.agent
        if not address:
            return None
        try:
            return AgentAt(address)
        except TimeoutError:
            self.problems.append(f"SSH agent {address}: no answer within {limits.AGENT_S:g} s")
        except (paramiko.SSHException, OSError, EOFError, ValueError, OverflowError, MemoryError):
            pass
        return None

    def _keys(self, of_agent: Sequence[Any]) -> Iterator[tuple[str, Any]]:
        named = [self._own] if self._own else list(self._settings.identity_files)
        default = [] if named else [Path.home() / ".ssh" / name for name in _DEFAULT_KEYS]
        yield from self._files(named, of_agent, must_exist=self._own is not None)
        if not self._settings.identities_only:
            yield from ((_described(key), key) for key in of_agent)
        yield from self._files(default, of_agent, must_exist=False)

    def _files(self, paths: Sequence[Path], of_agent: Sequence[Any], *, must_exist: bool) -> Iterator[tuple[str, Any]]:
        for path in paths:
            public = public_key_of(path)
            if public is not None:  # the agent needs no passphrase
                yield from ((_described(key), key) for key in of_agent if key.asbytes() == public.blob)
            if path.exists() or (must_exist and public is None):
                yield from self._private(path, in_agent=public is not None and _has(of_agent, public))

    def _private(self, path: Path, *, in_agent: bool) -> Iterator[tuple[str, Any]]:
        shown = shlex.quote(str(path))
        try:
            with open_file(path) as file:
                status = os.fstat(file.fileno())
            # As OpenSSH: a key that others can read is not used, unless another user owns it, who chose that.
            if status.st_uid == os.getuid() and status.st_mode & 0o077 and _is_private(path):
                self.problems.append(
                    f"key file {path}: permissions 0{status.st_mode & 0o777:03o} are too open: private key files must "
                    f"NOT be accessible by others, so it is ignored (try: chmod 600 {shown})"
                )
                return
            yield f"key file {path}", paramiko.PKey.from_path(path)
        except OSError as error:
            self.problems.append(f"key file {path}: {error.strerror}")
        except (paramiko.PasswordRequiredException, TypeError):
            if not in_agent:
                self.problems.append(f"key file {path}: it has a passphrase (try: ssh-add {shown})")
        except (paramiko.SSHException, ValueError) as error:
            if _is_public(path):
                if not in_agent:
                    self.problems.append(
                        f"key file {path}: a public key, and the SSH agent does not have its private one"
                    )
            else:
                self.problems.append(f"key file {path}: not a private key ({type(error).__name__})")

    def _add_certificate(self, key: Any) -> None:
        """Give a key the certificate that a CertificateFile has for it, unless it brought one."""
        if getattr(key, "public_blob", None) is not None:
            return
        for path in self._settings.certificate_files:
            try:
                blob = paramiko.pkey.PublicBlob.from_file(str(path))
                certified = paramiko.PKey.from_type_string(blob.key_type, blob.key_blob)
            except (OSError, ValueError, paramiko.SSHException, paramiko.pkey.UnknownKeyType):
                continue
            if certified.asbytes() == key.asbytes():
                key.public_blob = blob
                return


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _described(key: Any) -> str:
    return f"agent key {key.get_name()} {key.comment}".strip()


def _has(keys: Sequence[Any], public: HostKey) -> bool:
    return any(key.asbytes() == public.blob for key in keys)


def public_key_of(path: Path) -> HostKey | None:
    """Return the public half of a key file without its passphrase: of FILE itself, FILE.pub or a private key."""
    for candidate in (path, path.with_name(f"{path.name}.pub")):
        try:
            text = read_text(candidate, encoding="utf-8", errors="replace")
        except OSError:
            continue
        key = HostKey.parse(text) or _public_half(text)
        if key is not None:
            return key
    return None


def _is_private(path: Path) -> bool:
    return "PRIVATE KEY-----" in read_text(path, encoding="utf-8", errors="replace")


def _is_public(path: Path) -> bool:
    try:
        return HostKey.parse(read_text(path, encoding="utf-8", errors="replace")) is not None
    except OSError:
        return False


def _public_half(text: str) -> HostKey | None:
    """Return the public key of a private key in OpenSSH's format, where it is not encrypted."""
    lines = [line for line in text.split("\n") if line and not line.startswith("-----")]
    if "BEGIN OPENSSH PRIVATE KEY" not in text:
        return None
    try:
        data = base64.b64decode("".join(lines))
        if not data.startswith(_MAGIC):
            return None
        message = paramiko.Message(data[len(_MAGIC) :])
        for _ in range(3):  # cipher, key derivation, its options
            message.get_string()
        message.get_int()  # number of keys
        blob = message.get_string()
        return HostKey(paramiko.Message(blob).get_text(), blob)
    except (binascii.Error, ValueError, IndexError, paramiko.SSHException):
        return None


class AgentAt(paramiko.agent.AgentSSH):  # type: ignore[misc]
    """The SSH agent behind a socket. It lists its keys at once or not at all; a signature may wait for a person.

    Raises:
        TimeoutError: it does not answer.
    """

    def __init__(self, address: str) -> None:
        super().__init__()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        began = time.monotonic()
        deadline = threading.Timer(limits.AGENT_S, _shut, [connection])  # it may also answer a byte at a time
        deadline.daemon = True
        try:
            connection.settimeout(limits.AGENT_S)
            deadline.start()
            connection.connect(os.fspath(address))
            self._list_keys(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, Exception) and time.monotonic() - began > 0.9 * limits.AGENT_S:
                raise TimeoutError("no answer") from error
            raise
        finally:
            deadline.cancel()
        connection.settimeout(limits.AGENT_SIGNATURE_S)

    def _list_keys(self, connection: socket.socket) -> None:
        # paramiko's own loop believes whatever number of keys the agent names.
        self._conn = connection
        kind, answer = self._send_message(paramiko.agent.cSSH2_AGENTC_REQUEST_IDENTITIES)
        if kind != paramiko.agent.SSH2_AGENT_IDENTITIES_ANSWER:
            raise paramiko.SSHException("could not get keys from ssh-agent")
        count = answer.get_int()
        if count > _MOST_AGENT_KEYS:
            raise paramiko.SSHException(f"the SSH agent names {count} keys")
        self._keys = tuple(
            paramiko.AgentKey(agent=self, blob=answer.get_binary(), comment=answer.get_text()) for _ in range(count)
        )

    def _read_all(self, wanted: int) -> bytes:
        if wanted > _MOST_AGENT_BYTES:
            raise paramiko.SSHException(f"the SSH agent sends {wanted} bytes")
        return bytes(super()._read_all(wanted))

    def close(self) -> None:
        """Close the connection to the agent."""
        self._close()
