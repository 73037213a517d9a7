"""The reading of ~/.ssh/config where no `ssh` is installed: paramiko's, with its Include lines replaced before.

What paramiko can't judge (`Match tagged`, say) it would apply to every host, so such a condition is refused.
See ssh_config(5).
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import paramiko  # type: ignore[import-untyped]

from edgebench.board.transport.known_hosts import SSH_PORT
from edgebench.board.transport.ssh.home_config import MAX_DEPTH, included_files
from edgebench.board.transport.ssh.settings import HostSettings, expanded
from edgebench.errors import ConfigError
from edgebench.reading import RefusedFile, read_text

_SYSTEM_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
#: Conditions of a Match line that paramiko judges, and whether each has a value.
_CONDITIONS = {
    "all": False,
    "canonical": False,
    "final": False,
    "host": True,
    "originalhost": True,
    "user": True,
    "localuser": True,
    "exec": True,
}


def read_config(host: str, user: str | None, port: int | None) -> HostSettings:
    """Return how a host is reached, as `ask_openssh` does.

    Raises:
        ConfigError: the configuration is not valid, or has a condition that only OpenSSH can judge.
    """
    try:
        # In the first rule, so that %p in a ProxyCommand is the device's port.
        lines = [("Host", host), ("Port", port), ("User", user)]
        first = "".join(f"{key} {value}\n" for key, value in lines if value is not None)
        values = paramiko.SSHConfig.from_text(first + ssh_config_text()).lookup(host)
        return _settings(host, values)
    except (paramiko.ConfigParseError, ValueError) as error:
        raise ConfigError(f"can't find a route to {host!r} with ~/.ssh/config: {error}") from error


def _settings(host: str, values: Any) -> HostSettings:
    import getpass

    jumps = _some(values, "proxyjump")
    agent = values.get("identityagent")
    files = values.get("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2")
    system = values.get("globalknownhostsfile", " ".join(_SYSTEM_KNOWN_HOSTS))
    revoked = _some(values, "revokedhostkeys")
    return HostSettings(
        name=host,
        hostname=values.get("hostname", host),
        user=values.get("user") or getpass.getuser(),
        port=_port(values.get("port", SSH_PORT)),
        identity_files=tuple(_path(name) for name in values.get("identityfile", [])),
        certificate_files=tuple(_path(name) for name in _list(values.get("certificatefile"))),
        identities_only=values.get("identitiesonly", "no").lower() == "yes",
        agent=None if agent in (None, "SSH_AUTH_SOCK") else "" if agent == "none" else str(_path(agent)),
        known_hosts=tuple(_path(name) for name in shlex.split(f"{files} {system}") if name != "none"),
        host_key_alias=_some(values, "hostkeyalias"),
        revoked_keys=tuple(_path(name) for name in shlex.split(revoked or "")),
        proxy_command=None if jumps else _some(values, "proxycommand"),
        proxy_jump=tuple(jump.strip() for jump in (jumps or "").split(",") if jump.strip()),
        accepts_unknown=values.get("stricthostkeychecking", "ask").lower() in ("no", "off"),
    )


def _port(text: Any) -> int:
    if not 1 <= (port := int(text)) <= 65535:
        raise ValueError(f"bad port {text}")
    return port


def _path(text: str) -> Path:
    return expanded(text, where="~/.ssh/config")


def _some(values: Any, key: str) -> str | None:
    value = values.get(key)
    return None if value is None or value.strip().lower() in ("", "none") else str(value)


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def ssh_config_text() -> str:
    """Return the user's and then the system's configuration as one text; empty where there is none.

    Raises:
        ConfigError: a Match line has a condition that only OpenSSH can judge.
    """
    user = Path.home() / ".ssh"
    system = Path("/etc/ssh")
    # The system's part must not belong to the user's last Host block.
    return "\n".join(
        ["Host *", *_lines(user / "config", user, 0), "Host *", *_lines(system / "ssh_config", system, 0), ""]
    )


def _lines(path: Path, folder: Path, depth: int) -> list[str]:
    try:
        text = read_text(path, encoding="utf-8", errors="replace")
    except RefusedFile as error:
        raise ConfigError(f"can't read {path}: {error.strerror}") from error
    except OSError:
        return []
    lines: list[str] = []
    block = "Host *"
    for number, line in enumerate(text.splitlines(), 1):
        keyword, *arguments = re.split(r"[\s=]+", line.strip()) or [""]
        if keyword.lower() in ("host", "match"):
            block = line if keyword.lower() == "host" else _judged_match(line, f"{path} line {number}")
            lines.append(block)
        elif keyword.lower() != "include":
            lines.append(line)
        else:
            if depth >= MAX_DEPTH:
                raise ConfigError(f"{path} line {number}: Include nests more than {MAX_DEPTH} deep; it includes itself")
            for argument in arguments:
                for name in included_files(argument.strip('"'), folder):
                    lines += _lines(name, folder, depth + 1)
            lines.append(block)  # the lines below belong to the block in which the Include stands
    return lines


def _judged_match(line: str, where: str) -> str:
    """Return a Match line as paramiko reads it."""
    try:
        words = shlex.split(re.sub(r"^\s*match[\s=]+", "", line, flags=re.IGNORECASE), comments=True)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    conditions: list[str] = []
    while words:
        name, equals, value = words.pop(0).partition("=")
        kind = name.removeprefix("!").lower()
        if kind not in _CONDITIONS:
            raise ConfigError(
                f"{where}: only OpenSSH can judge `Match {kind}`, and no ssh is installed here",
                hint="install OpenSSH's client (Debian: openssh-client), or remove the block",
            )
        conditions.append(name.lower())
        if _CONDITIONS[kind]:
            conditions.append(shlex.quote(value if equals else words.pop(0) if words else ""))
    # "all" is always true; paramiko takes it only without other conditions.
    return f"Match {' '.join(word for word in conditions if word != 'all' or len(conditions) == 1)}"
