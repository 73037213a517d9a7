"""Ways to a board: this machine itself, or SSH."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgebench.board.transport.base import Transport
    from edgebench.device import Device


def open_transport(device: Device) -> Transport:
    """Return the transport to a device; `connect`, or entering it as a context, opens the connection."""
    if device.is_local:
        from edgebench.board.transport.local import LocalTransport

        return LocalTransport(device)
    from edgebench.board.transport.ssh import SshTransport

    return SshTransport(device)
