"""How one host is reached and logged in to, as the client configuration of OpenSSH says. Pure values."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import shlex
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgebench.board.transport.known_hosts import SSH_PORT
from edgebench.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """What the configuration says of one host, ready to use: no token and no `~` is left.

    Args:
        name: the host as it was asked for, which may be an alias; `hostname`: its name or address in the network.
        identity_files: private or public key files that the configuration names; empty: none, so the default ones.
        agent: socket of the SSH agent; "": no agent is to be used; None: that of SSH_AUTH_SOCK.
        proxy_jump: the jump hosts, `[user@]host[:port]` each, in the order in which they are visited.
        accepts_unknown: StrictHostKeyChecking is off, so a host key that no file lists is accepted.
    """

    name: str
    hostname: str
    user: str
    port: int
    identity_files: tuple[Path, ...] = ()
    certificate_files: tuple[Path, ...] = ()
    identities_only: bool = False
    agent: str | None = None
    known_hosts: tuple[Path, ...] = ()
    host_key_alias: str | None = None
    revoked_keys: Path | None = None
    proxy_command: str | None = None
    proxy_jump: tuple[str, ...] = ()
    accepts_unknown: bool = False


def ssh_command(settings: HostSettings) -> str:
    """Return the command line that opens the same connection by hand."""
    port = f"-p {settings.port} " if settings.port != SSH_PORT else ""
    return f"ssh {port}{shlex.quote(f'{settings.user}@{settings.name}')}"


_TOKEN = re.compile(r"%(.?)|\$\{([^}]*)\}")


def expand(text: str, tokens: Mapping[str, str], *, environment: bool = True) -> str:
    """Return the text with OpenSSH's tokens (%h, %p ...) and, for a path, variables of the environment replaced.

    Raises:
        ConfigError: a token that OpenSSH does not have, or a variable that is not set.
    """

    def value(match: re.Match[str]) -> str:
        letter, variable = match.groups()
        if variable is not None:
            if not environment:
                return match[0]
            if variable not in os.environ:
                raise ConfigError(f"~/.ssh/config: ${{{variable}}} in {text!r} is not set")
            return os.environ[variable]
        if letter == "%":
            return "%"
        if letter not in tokens:
            raise ConfigError(f"~/.ssh/config: %{letter} in {text!r} is not a token of OpenSSH")
        return tokens[letter]

    return _TOKEN.sub(value, text)


def expand_path(text: str, tokens: Mapping[str, str]) -> Path:
    """Return the file that a path with `~`, tokens or variables names."""
    return Path(expand(text, tokens)).expanduser()


def tokens_of(*, name: str, hostname: str, user: str, port: int, alias: str | None, jumps: str) -> dict[str, str]:
    """Return the tokens that OpenSSH knows in file names; see "TOKENS" in ssh_config(5)."""
    local = socket.gethostname()
    return {
        "d": str(Path.home()),
        "h": hostname,
        "i": str(os.getuid()) if hasattr(os, "getuid") else "",
        "j": jumps,
        "k": alias or name,
        "L": local.partition(".")[0],
        "l": local,
        "n": name,
        "p": str(port),
        "r": user,
        "u": getpass.getuser(),
        # Not for security: a short name of the connection, as OpenSSH makes it.
        "C": hashlib.sha1(f"{local}{hostname}{port}{user}{jumps}".encode(), usedforsecurity=False).hexdigest(),
    }


def split_paths(text: str) -> Iterable[str]:
    """Yield the paths of a list that `ssh -G` prints: blanks separate them, and may also be part of one."""
    words = text.split(" ")
    while words:
        count = next((n for n in range(len(words), 1, -1) if Path(" ".join(words[:n])).expanduser().exists()), 1)
        path = " ".join(words[:count])
        words = words[count:]
        if path and path != "none":
            yield path
