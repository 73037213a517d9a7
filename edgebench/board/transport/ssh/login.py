"""Logging in with a key or, to install one, with a password; nothing here prompts."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import paramiko  # type: ignore[import-untyped]
from fabric import Config
from paramiko.auth_strategy import AuthStrategy  # type: ignore[import-untyped]

from edgebench.board.transport.known_hosts import HostKey
from edgebench.board.transport.ssh.keys import LoginKeys
from edgebench.board.transport.ssh.settings import HostSettings, ssh_command
from edgebench.device import Device
from edgebench.errors import AuthenticationError, PasswordRefused


@dataclass(frozen=True)
class Login:
    """How to log in on one host of a route."""

    device: str  # its name, for messages
    settings: HostSettings
    identity_file: str | None = None
    pinned: HostKey | None = None
    password: str | None = None

    @staticmethod
    def of(device: Device, settings: HostSettings, *, password: str | None, last: bool) -> Login:
        """Return the login for a hop: only the last one is the board, with its key, pinned host key and password."""
        if not last:
            return Login(f"{device.name}: jump host", settings)
        return Login(
            device.name,
            settings,
            identity_file=device.identity_file,
            pinned=HostKey.parse(device.host_key) if device.host_key else None,
            password=password,
        )

    @property
    def command(self) -> str:
        """The ssh command for the same login, for messages."""
        return ssh_command(self.settings)

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
            raise PasswordRefused(
                f"{self._login.device}: the board refuses this password for {self._username!r}; check both"
            ) from error


class _KeyLogin(AuthStrategy):  # type: ignore[misc]
    """Tries keys, one after another; it never prompts."""

    def __init__(self, login: Login, ssh_config: Any, username: str) -> None:
        super().__init__(ssh_config)
        self._login = login
        self._username = username
        self._keys = LoginKeys(login.settings, login.identity_file)
        self._tried: list[str] = []

    def authenticate(self, transport: Any) -> None:
        with closing(self._keys.__iter__()) as keys:
            for what, key in keys:
                if self._accepted(transport, what, key):
                    return
                if not transport.is_active():
                    self._tried.append("then the server ended the connection")
                    break
        tried = "; ".join([*self._tried, *self._keys.problems]) or "nothing: there is no agent and no key file"
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
