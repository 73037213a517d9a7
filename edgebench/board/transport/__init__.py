"""Ways to run commands on a board: this machine itself, or SSH.

A Device goes in; a Transport, which runs commands and moves bytes, comes out. SSH's own package,
`edgebench.board.transport.ssh`, loads Fabric, and is imported only when such a transport is opened.
"""

from __future__ import annotations

from edgebench.board.transport.base import Transport
from edgebench.board.transport.known_hosts import SSH_PORT, HostKey, known_keys, lookup_name
from edgebench.device import Device

__all__ = [
    "SSH_PORT",
    "HostKey",
    "Transport",
    "known_keys",
    "lookup_name",
    "open_transport",
]


def open_transport(device: Device) -> Transport:
    """Return the transport to a device; `connect`, or entering it as a context, opens the connection."""
    if device.is_local:
        from edgebench.board.transport.local import LocalTransport

        return LocalTransport(device)
    from edgebench.board.transport.ssh import SshTransport

    return SshTransport(device)
