"""How a board is reached: the connections to open one after another, as ~/.ssh/config says."""

from __future__ import annotations

from typing import Any

import paramiko  # type: ignore[import-untyped]
from fabric import Config, Connection

from edgebench.board.transport.known_hosts import SSH_PORT
from edgebench.board.transport.ssh.config import ssh_config_text
from edgebench.errors import ConfigError


def find_route(host: str, user: str | None, port: int | None) -> list[Connection]:
    """Return the connections to open, one after another, each through the one before; the last is the board's.

    Raises:
        ConfigError: not a host's name, or ~/.ssh/config can't be read.
    """
    try:
        if any(character.isspace() or character in "*?!," for character in host):
            raise ValueError("not a host's name")
        # In the first rule, so that %p in a ProxyCommand is the device's port.
        first = f"Host {host}\n  Port {port}\n" if port is not None else ""
        rules = paramiko.SSHConfig.from_text(first + ssh_config_text())
        return _chain(rules, host, user, port, frozenset())
    except (paramiko.ConfigParseError, ValueError) as error:
        raise ConfigError(f"can't find a route to {host!r} with ~/.ssh/config: {error}") from error


def _chain(rules: Any, host: str, user: str | None, port: int | None, through: frozenset[str]) -> list[Connection]:
    # Fabric visits several jump hosts in the reverse of OpenSSH's order, and does not check their host keys.
    settings = rules.lookup(host)
    jumps = settings.get("proxyjump", "none")
    hops: list[Connection] = []
    for jump in [] if _says_none(jumps) else jumps.split(","):
        way = Connection(jump.strip().removeprefix("ssh://"), config=_fabric_config(rules), gateway=False)
        if way.original_host in through or way.original_host == host:
            continue  # a rule for all hosts also matches the jump host itself
        if hops:
            hops.append(_connection(rules, way.original_host, way.user, way.port, gateway=hops[-1]))
        else:
            hops = _chain(rules, way.original_host, way.user, way.port, through | {host})
    gateway = hops[-1] if hops else settings.get("proxycommand", False)
    return [*hops, _connection(rules, host, user, port, gateway=gateway)]


def _says_none(value: str) -> bool:
    """Return whether a ProxyJump means: no jump host."""
    return value.strip().lower() in ("", "none")


def _connection(rules: Any, host: str, user: str | None, port: int | None, *, gateway: Any) -> Connection:
    return Connection(host, user=user, port=port, config=_fabric_config(rules), gateway=gateway)


def _fabric_config(rules: Any) -> Config:
    # lazy: a fabric.yml or fabric.py of the user must not change how boards are reached.
    return Config(ssh_config=rules, lazy=True)


def ssh_command(hop: Connection) -> str:
    """Return the command line that opens the same connection by hand."""
    port = f"-p {hop.port} " if hop.port != SSH_PORT else ""
    return f"ssh {port}{hop.user}@{hop.original_host}"
