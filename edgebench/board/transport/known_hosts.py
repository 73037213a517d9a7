"""Host keys: what OpenSSH's known_hosts files say about a host. Knows no SSH library.

The format is that of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"; lines that are not of it are skipped, as OpenSSH does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from edgebench.reading import read_text

SSH_PORT = 22
_BLANKS = " \t\r"
_WORDS = re.compile(r"[ \t]+")
_REVOKED, _AUTHORITY = "@revoked", "@cert-authority"


@dataclass(frozen=True, slots=True)
class HostKey:
    """A server's public key."""

    kind: str  # "ssh-ed25519", "ssh-rsa", ...
    blob: bytes

    def __str__(self) -> str:
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    @property
    def fingerprint(self) -> str:
        """The fingerprint as OpenSSH shows it: SHA256:..."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    @staticmethod
    def parse(text: str) -> HostKey | None:
        """Return the key of "ssh-ed25519 AAAA... [comment]", or None where it is not one."""
        parts = text.split()
        if len(parts) < 2:
            return None
        try:
            blob = base64.b64decode(parts[1], validate=True)
        except (binascii.Error, ValueError):
            return None
        # The blob names its kind itself: length, then name.
        kind = parts[0].encode()
        if blob[: 4 + len(kind)] != len(kind).to_bytes(4, "big") + kind or len(blob) <= 4 + len(kind):
            return None
        return HostKey(parts[0], blob)


@dataclass(slots=True)
class KnownKeys:
    """What is known about one host."""

    accepted: list[HostKey] = field(default_factory=list)
    revoked: list[HostKey] = field(default_factory=list)
    authorities: list[HostKey] = field(default_factory=list)  # whose certificates for the host are accepted


def lookup_name(host: str, port: int) -> str:
    """Return the name by which known_hosts lists a server: HOST, or [HOST]:PORT for another port than 22."""
    return host if port == SSH_PORT else f"[{host}]:{port}"


def known_keys(name: str, paths: Iterable[Path]) -> KnownKeys:
    """Return the keys that these files list for a host; files that are not there or can't be read list none."""
    known = KnownKeys()
    for path in paths:
        try:
            text = read_text(path, errors="replace", encoding="utf-8")
        except OSError:
            continue
        for line in text.split("\n"):  # other signs that Unicode counts as line breaks are part of a comment
            _add_line(known, name.lower(), line)
    return known


def listed_keys(text: str) -> list[HostKey]:
    """Return the keys of a text with one public key a line, as RevokedHostKeys has them.

    Raises:
        ValueError: a line is neither a key nor a comment: what it revokes is not known.
    """
    keys = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key = HostKey.parse(line)
        if key is None:
            raise ValueError(f"line {number} is not a public key")
        keys.append(key)
    return keys


def _add_line(known: KnownKeys, name: str, line: str) -> None:
    line = line.strip(_BLANKS)
    words = _WORDS.split(line)
    markers = list(itertools.takewhile(lambda word: word.startswith("@"), words))
    names, rest = (words[len(markers) :] or [""])[0], " ".join(words[len(markers) + 1 :])
    if names.startswith("#") or not _matches(names, name):
        return
    key = HostKey.parse(rest)
    if key is None:
        return
    if not markers:
        known.accepted.append(key)
    elif _REVOKED in markers:  # also where OpenSSH takes the line for damaged: whoever wrote it trusts the key no more
        known.revoked.append(key)
    elif line.partition(" " if " " in line else "\t")[0] == _AUTHORITY:  # OpenSSH looks for a blank, then for a tab
        known.authorities.append(key)


def _matches(patterns: str, name: str) -> bool:
    if patterns.startswith("|1|"):
        return _matches_hash(patterns, name)
    matched = False
    for pattern in patterns.lower().split(","):
        # fnmatch would take [host]:port for a set of characters; OpenSSH knows only * and ?.
        if fnmatchcase(name, re.sub(r"\[", "[[]", pattern.removeprefix("!"))):
            if pattern.startswith("!"):
                return False
            matched = True
    return matched


def _matches_hash(pattern: str, name: str) -> bool:
    parts = pattern.split("|")
    if len(parts) != 4:
        return False
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in parts[2:])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)
