"""Which host key of a server is accepted."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko  # type: ignore[import-untyped]
from fabric import Connection

from edgebench.board.transport.known_hosts import HostKey, KnownKeys, known_keys, lookup_name
from edgebench.board.transport.ssh.login import Login
from edgebench.board.transport.ssh.route import ssh_command
from edgebench.errors import HostKeyError

_SYSTEM_KNOWN_HOSTS = (Path("/etc/ssh/ssh_known_hosts"), Path("/etc/ssh/ssh_known_hosts2"))


@dataclass(frozen=True)
class HostKeyCheck(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """Checks the host key of a server. paramiko's own list of keys stays empty, so that it asks about every key."""

    device: str
    name: str  # as known_hosts lists it
    command: str
    pinned: HostKey | None
    known: KnownKeys

    @staticmethod
    def of(hop: Connection, login: Login) -> HostKeyCheck:
        """Return the check for one connection of a route, with what the known_hosts files list."""
        name = hop.ssh_config.get("hostkeyalias") or lookup_name(hop.host, hop.port)
        files = shlex.split(hop.ssh_config.get("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2"))
        paths = [*(Path(path).expanduser() for path in files), *_SYSTEM_KNOWN_HOSTS]
        return HostKeyCheck(login.device, name, ssh_command(hop), login.pinned, known_keys(name, paths))

    def kinds(self) -> list[str]:
        """Return the kinds of key that are known."""
        return [key.kind for key in ([self.pinned] if self.pinned else self.known.accepted)]

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        """Accept the key that a server shows, or raise HostKeyError."""
        shown = HostKey(key.get_name(), key.asbytes())
        about = f"{self.device}: {self.name} shows the host key {shown.kind} {shown.fingerprint}"
        if shown in self.known.revoked:
            raise HostKeyError(f"{about}, which known_hosts lists as revoked; don't use this board as it is")
        if self.pinned is not None:
            if shown != self.pinned:
                raise HostKeyError(
                    f"{about}, but {self.pinned.kind} {self.pinned.fingerprint} is pinned",
                    hint=f"if the system of the board was installed again, pin the new key: `host_key='{shown}'`; "
                    f"otherwise someone may be in between",
                )
        elif not self.known.accepted:
            raise HostKeyError(
                f"{about}, which is not known",
                hint=f"compare it with the board's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then "
                f"connect once with: {self.command} (or pass `host_key='{shown}'`)",
            )
        elif shown not in self.known.accepted:
            known = ", ".join(f"{key.kind} {key.fingerprint}" for key in self.known.accepted)
            raise HostKeyError(
                f"{about}, which has changed: known_hosts lists {known}",
                hint=f"if the system of the board was installed again: ssh-keygen -R '{self.name}', then "
                f"{self.command}; otherwise someone may be in between",
            )


class HostKeyShown(Exception):
    """Ends a connection once the server's host key was seen."""

    def __init__(self, key: HostKey) -> None:
        super().__init__(str(key))
        self.key = key


class ShowHostKey(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """Accepts no key and raises HostKeyShown: the connection ends before a login."""

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        raise HostKeyShown(HostKey(key.get_name(), key.asbytes()))
