"""Which host key of a server is accepted."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import paramiko  # type: ignore[import-untyped]

from edgebench.board.transport.known_hosts import SSH_PORT, HostKey, KnownKeys, known_keys, listed_keys, lookup_name
from edgebench.board.transport.ssh.certificate import HostCertificate
from edgebench.board.transport.ssh.login import Login
from edgebench.board.transport.ssh.settings import HostSettings, ssh_command
from edgebench.errors import HostKeyError
from edgebench.reading import read_bytes

_KEYGEN_S = 30
_KRL = b"SSHKRL\n\0"  # the first bytes of a key revocation list


class RevokedKey(HostKeyError):
    """The key that a server shows is listed as revoked."""


@dataclass(frozen=True)
class HostKeyCheck(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """Checks the host key of a server. paramiko's own list of keys stays empty, so that it asks about every key.

    Args:
        host: the name that a certificate must have; `name`: as known_hosts lists the server.
        known: what the files list under `name`.
        without_port: what they list for the host alone, where its port is not 22; OpenSSH accepts that, too.
    """

    device: str
    host: str
    name: str
    command: str
    pinned: HostKey | None
    known: KnownKeys
    without_port: KnownKeys
    revoked_lists: tuple[Path, ...]
    accepts_unknown: bool

    @staticmethod
    def of(settings: HostSettings, login: Login) -> HostKeyCheck:
        """Return the check for one connection of a route, with what the known_hosts files list."""
        alias, paths = settings.host_key_alias, settings.known_hosts
        name = alias or lookup_name(settings.hostname, settings.port)
        has_port = alias is None and settings.port != SSH_PORT
        return HostKeyCheck(
            device=login.device,
            host=alias or settings.hostname,
            name=name,
            command=ssh_command(settings),
            pinned=login.pinned,
            known=known_keys(name, paths),
            without_port=known_keys(settings.hostname, paths) if has_port else KnownKeys(),
            revoked_lists=settings.revoked_keys,
            # Whoever sends a password must know to whom.
            accepts_unknown=settings.accepts_unknown and login.password is None,
        )

    def kinds(self) -> list[str]:
        """Return the kinds of key that are known."""
        accepted = [*self.known.accepted, *self.without_port.accepted]
        return [key.kind for key in ([self.pinned] if self.pinned else accepted)]

    @property
    def authorities(self) -> list[HostKey]:
        """The authorities whose certificates count; none where a key is pinned."""
        return [] if self.pinned else [*self.known.authorities, *self.without_port.authorities]

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        """Accept the key that a server shows, or raise HostKeyError."""
        shown = HostKey(key.get_name(), key.asbytes())
        certificate = _certificate(key)
        about = f"{self.device}: {self.name} shows the host key {shown.kind} {shown.fingerprint}"
        revoked = [*self.known.revoked, *self.without_port.revoked]
        if shown in revoked:
            raise RevokedKey(f"{about}, which known_hosts lists as revoked; don't use this board as it is")
        self._refuse_listed(about, shown, certificate)
        if self.pinned is not None:
            if shown != self.pinned:
                raise HostKeyError(
                    f"{about}, but {self.pinned.kind} {self.pinned.fingerprint} is pinned",
                    hint=f"if the system of the board was installed again, pin the new key: `host_key='{shown}'`; "
                    f"otherwise someone may be in between",
                )
            return
        if shown in self.known.accepted or shown in self.without_port.accepted:
            return
        problem = certificate.problem(self.host, self.authorities, revoked) if certificate else None
        if certificate is not None and self.authorities and problem is None:
            return
        self._refuse_unknown(about, shown, problem if self.authorities else None)

    def _refuse_unknown(self, about: str, shown: HostKey, problem: str | None) -> None:
        if self.known.accepted:
            known = ", ".join(f"{key.kind} {key.fingerprint}" for key in self.known.accepted)
            raise HostKeyError(
                f"{about}, which has changed: known_hosts lists {known}",
                hint=f"if the system of the board was installed again: ssh-keygen -R '{self.name}', then "
                f"{self.command}; otherwise someone may be in between",
            )
        if problem is not None:
            raise HostKeyError(
                f"{about}, and {problem}",
                hint="the board needs a new certificate of its authority (ssh-keygen -s), or pin the key: "
                f"`host_key='{shown}'`",
            )
        if not self.accepts_unknown:
            raise HostKeyError(
                f"{about}, which is not known",
                hint=f"compare it with the board's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then "
                f"connect once with: {self.command} (or pass `host_key='{shown}'`)",
            )

    def _refuse_listed(self, about: str, shown: HostKey, certificate: HostCertificate | None) -> None:
        """Refuse a key, or the authority of its certificate, that the file of RevokedHostKeys lists."""
        keys = [shown, *([certificate.authority] if certificate and self.authorities else [])]
        if certificate is not None:
            keys.append(HostKey(f"{shown.kind}-cert-v01@openssh.com", certificate.blob))
        for path in self.revoked_lists:
            if _is_listed(path, keys):
                raise RevokedKey(f"{about}, which RevokedHostKeys {path} lists; don't use this board as it is")


def _certificate(key: Any) -> HostCertificate | None:
    blob = getattr(key, "public_blob", None)
    return HostCertificate.parse(blob.key_blob) if blob is not None else None


def _is_listed(path: Path, keys: Sequence[HostKey]) -> bool:
    """Return whether a file of revoked keys, public keys or a key revocation list, has one of these.

    As OpenSSH: a file that can't be read revokes every key.
    """
    try:
        content = read_bytes(path)
        if not content.startswith(_KRL):
            listed = listed_keys(content.decode(errors="replace"))
            return any(key in listed for key in keys)
    except OSError as error:
        raise HostKeyError(f"~/.ssh/config: can't read RevokedHostKeys {path}: {error.strerror}") from error
    except ValueError as error:
        raise HostKeyError(f"~/.ssh/config: can't read RevokedHostKeys {path}: {error}") from error
    with tempfile.NamedTemporaryFile("w", suffix=".pub") as file:
        file.write("".join(f"{key}\n" for key in keys))
        file.flush()
        try:
            done = subprocess.run(
                ["ssh-keygen", "-Q", "-f", path, file.name],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_KEYGEN_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HostKeyError(f"can't read the revocation list {path} without ssh-keygen") from error
    return done.returncode != 0  # also where it can't read the list


class HostKeyShown(Exception):
    """Ends a connection once the server's host key was seen; `distrust`: why it is not accepted yet, if it is not."""

    def __init__(
        self, key: HostKey, distrust: HostKeyError | None, *, is_changed: bool, is_revoked: bool, is_certified: bool
    ) -> None:
        super().__init__(str(key))
        self.key = key
        self.distrust = distrust
        self.is_changed = is_changed
        self.is_revoked = is_revoked
        self.is_certified = is_certified


@dataclass(frozen=True)
class ShowHostKey(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """Accepts no key and raises HostKeyShown: the connection ends before a login."""

    check: HostKeyCheck

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        shown = HostKey(key.get_name(), key.asbytes())
        distrust = None
        try:
            replace(self.check, accepts_unknown=False).missing_host_key(client, hostname, key)
        except HostKeyError as error:
            distrust = error
        is_listed = shown in self.check.known.accepted or shown in self.check.without_port.accepted
        raise HostKeyShown(
            shown,
            distrust,
            is_changed=distrust is not None and any(shown.kind == known.kind for known in self.check.known.accepted),
            is_revoked=isinstance(distrust, RevokedKey),
            is_certified=distrust is None and not is_listed,
        )
