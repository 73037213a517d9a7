"""Ways to a board: this machine itself, or SSH."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgebench.board.transport.base import Transport
    from edgebench.device import Device


def open_transport(device: Device) -> Transport:
    """Return the way to a device; it is opened by its `connect`, or by entering it as a context."""
    if device.is_local:
        from edgebench.board.transport.local import LocalTransport

        return LocalTransport(device)
    from edgebench.board.transport.ssh import SshTransport

    return SshTransport(device)
