"""How a board is reached: the connections to open one after another, as ~/.ssh/config says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fabric import Config, Connection
from paramiko import SSHConfig  # type: ignore[import-untyped]

from edgebench.board.transport.ssh.config import read_config
from edgebench.board.transport.ssh.openssh import ask_openssh
from edgebench.board.transport.ssh.settings import HostSettings
from edgebench.device import parse_address
from edgebench.errors import ConfigError


@dataclass(frozen=True)
class Hop:
    """One connection of a route, and what the configuration says of its host."""

    settings: HostSettings
    connection: Connection


def find_route(host: str, user: str | None, port: int | None) -> list[HostSettings]:
    """Return what the configuration says of the hosts of a route, one after another; the last is the board.

    Raises:
        ConfigError: not a host's name, or ~/.ssh/config can't be read.
        ConnectionFailed: OpenSSH can't resolve the name.
    """
    if any(character.isspace() or character in "*?!," for character in host):
        raise ConfigError(f"can't find a route to {host!r}: not a host's name")
    return _chain(host, user, port, frozenset())


def hops_of(route: Sequence[HostSettings]) -> list[Hop]:
    """Return the connections to open, one after another, each through the one before; the last is the board's."""
    hops: list[Hop] = []
    for settings in route:
        gateway = hops[-1].connection if hops else None
        hops.append(Hop(settings, _connection(settings, gateway)))
    return hops


def find_settings(host: str, user: str | None, port: int | None) -> HostSettings:
    """Return how a host is reached: by OpenSSH's own reading of its configuration, else by paramiko's."""
    return ask_openssh(host, user, port) or read_config(host, user, port)


def _chain(host: str, user: str | None, port: int | None, through: frozenset[str]) -> list[HostSettings]:
    # Fabric visits several jump hosts in the reverse of OpenSSH's order, and does not check their host keys.
    settings = find_settings(host, user, port)
    chain: list[HostSettings] = []
    for jump in settings.proxy_jump:
        jump_user, jump_host, jump_port = parse_address(re.sub(r"^ssh://|/$", "", jump))
        if jump_host in through or jump_host == host:
            continue  # a rule for all hosts also matches the jump host itself
        if chain:
            chain.append(find_settings(jump_host, jump_user, jump_port))
        else:
            chain = _chain(jump_host, jump_user, jump_port, through | {host})
    return [*chain, settings]


def _connection(settings: HostSettings, gateway: Connection | None) -> Connection:
    # lazy: a fabric.yml or fabric.py of the user must not change how boards are reached. The configuration of OpenSSH
    # is empty here: `settings` has what it says.
    config = Config(ssh_config=SSHConfig(), lazy=True)
    return Connection(
        settings.hostname, user=settings.user, port=settings.port, config=config, gateway=gateway or False
    )
