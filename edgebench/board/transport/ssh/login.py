"""Logging in with a key or, to install one, with a password; nothing here prompts."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko  # type: ignore[import-untyped]
from fabric import Config, Connection
from paramiko.auth_strategy import AuthStrategy  # type: ignore[import-untyped]

from edgebench.board.transport.known_hosts import HostKey
from edgebench.board.transport.ssh.route import ssh_command
from edgebench.device import Device
from edgebench.errors import AuthenticationError

_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")


@dataclass(frozen=True)
class Login:
    """How to log in on one host of a route."""

    device: str  # its name, for messages
    command: str  # the ssh command for the same login, for messages
    identity_file: str | None = None
    pinned: HostKey | None = None
    password: str | None = None

    @staticmethod
    def of(device: Device, hop: Connection, *, password: str | None, last: bool) -> Login:
        """Return the login for a hop: only the last one is the board, with its key, pinned host key and password."""
        if not last:
            return Login(f"{device.name}: jump host", ssh_command(hop))
        return Login(
            device.name,
            ssh_command(hop),
            identity_file=device.identity_file,
            pinned=HostKey.parse(device.host_key) if device.host_key else None,
            password=password,
        )

    def strategy(self, ssh_config: Any, fabric_config: Config, username: str) -> AuthStrategy:
        """Return what Fabric logs in with; it never prompts."""
        if self.password is not None:
            return _PasswordLogin(self, ssh_config, username)
        return _KeyLogin(self, ssh_config, username)


class _PasswordLogin(AuthStrategy):  # type: ignore[misc]
    def __init__(self, login: Login, ssh_config: Any, username: str) -> None:
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
    """Tries key files that were named, then the SSH agent's keys, then the default files; it never prompts."""

    def __init__(self, login: Login, ssh_config: Any, username: str) -> None:
        super().__init__(ssh_config)
        self._login = login
        self._username = username
        self._tried: list[str] = []

    def authenticate(self, transport: Any) -> None:
        agent = _open_key_agent()
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
            f"install a key: edgebench device add NAME --host ADDRESS --copy-id; or check: {self._login.command}"
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
        """Yield the keys to try with their descriptions, each key once."""
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


def _open_key_agent() -> Any:
    """Return the SSH agent, or None where none answers."""
    try:
        return paramiko.Agent()
    except (paramiko.SSHException, OSError):
        return None
