"""Certificates of host keys: what an authority signed about a server, and whether that holds.

The format is that of OpenSSH's PROTOCOL.certkeys; the rules are those of OpenSSH's client (`check_host_cert`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import paramiko  # type: ignore[import-untyped]

from edgebench.board.transport.known_hosts import HostKey

_SUFFIX = "-cert-v01@openssh.com"
#: How many strings of a certificate make up its public key, by kind.
_KEY_FIELDS = {
    "ssh-ed25519": 1,
    "ssh-rsa": 2,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
}
_HOST = 2
#: As OpenSSH's CASignatureAlgorithms: no SHA-1.
_SIGNATURES = (
    "ssh-ed25519",
    "rsa-sha2-512",
    "rsa-sha2-256",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
)


@dataclass(frozen=True)
class HostCertificate:
    """A certificate as a server shows it. Its fields are claims until `problem` has none to report."""

    blob: bytes
    kind: int  # 1: of a user, 2: of a host
    principals: tuple[str, ...]  # names of hosts, with * and ?; empty: any host
    valid_after_s: int  # since 1970
    valid_before_s: int  # since 1970, no longer valid at that second
    has_critical_options: bool
    authority: HostKey
    signature_kind: str

    @staticmethod
    def parse(blob: bytes) -> HostCertificate | None:
        """Return the certificate in the blob of a public key; None: it is none, or of a kind that is not known."""
        message = paramiko.Message(blob)
        try:
            name = message.get_text()
            count = _KEY_FIELDS.get(name.removesuffix(_SUFFIX))
            if not name.endswith(_SUFFIX) or count is None:
                return None
            for _ in range(1 + count):  # the nonce, the key
                message.get_string()
            message.get_int64()  # the serial number
            kind = message.get_int()
            message.get_string()  # the key's id
            principals = _strings(message.get_string())
            after, before = message.get_int64(), message.get_int64()
            critical = message.get_string()
            message.get_string()  # extensions
            message.get_string()  # reserved
            authority = message.get_string()
            signature_kind = paramiko.Message(message.get_string()).get_text()
            authority_kind = paramiko.Message(authority).get_text()
        except (UnicodeDecodeError, ValueError, IndexError, paramiko.SSHException):
            return None
        return HostCertificate(
            blob, kind, principals, after, before, bool(critical), HostKey(authority_kind, authority), signature_kind
        )

    def problem(self, host: str, authorities: Sequence[HostKey], revoked: Sequence[HostKey]) -> str | None:
        """Return why the certificate does not vouch for a host, as a clause; None: it does.

        Args:
            host: its name or address in the network, or its HostKeyAlias.
            authorities: the keys of those who may vouch for it; `revoked`: keys that nobody accepts any more.
        """
        about = f"by the authority {self.authority.fingerprint}"
        if self.authority not in authorities:
            return f"its certificate is signed {about}, which known_hosts does not list for it"
        if self.authority in revoked:
            return f"its certificate is signed {about}, which known_hosts lists as revoked"
        if self.signature_kind not in _SIGNATURES or not self._is_signed():
            return f"the signature of its certificate, {about}, is not valid"
        if self.kind != _HOST:
            return "its certificate is one of a user, not of a host"
        now = time.time()
        if now < self.valid_after_s:
            return f"its certificate is valid only from {_date(self.valid_after_s)} on (is the clock here right?)"
        if now >= self.valid_before_s:
            return f"its certificate expired on {_date(self.valid_before_s)}"
        if self.principals and not any(_matches(host, pattern) for pattern in self.principals):
            return f"its certificate is for {', '.join(self.principals[:5])}, not for {host}"
        if self.has_critical_options:
            return "its certificate has critical options, and none is known for hosts"
        return None

    def _is_signed(self) -> bool:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity

        kind = paramiko.Message(self.blob).get_text()
        try:
            certificate = load_ssh_public_identity(str(HostKey(kind, self.blob)).encode())
            if not isinstance(certificate, SSHCertificate):
                return False
            certificate.verify_cert_signature()
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            return False
        return True


def _strings(packed: bytes) -> tuple[str, ...]:
    message, found = paramiko.Message(packed), []
    while message.get_remainder():
        found.append(message.get_text())
    return tuple(found)


def _matches(host: str, pattern: str) -> bool:
    # OpenSSH knows only * and ?; fnmatch would also take [...].
    return fnmatchcase(host.lower(), re.sub(r"\[", "[[]", pattern.lower()))


def _date(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"
    except (OverflowError, ValueError, OSError):
        return "never"
