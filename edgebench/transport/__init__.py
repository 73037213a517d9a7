"""Ways to a board: this machine itself, or SSH."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgebench.device import Device
    from edgebench.transport.base import Transport


def open_transport(device: Device) -> Transport:
    """Return the way to a device; it is opened by its `connect`, or by entering it as a context."""
    if device.is_local:
        from edgebench.transport.local import LocalTransport

        return LocalTransport(device)
    from edgebench.transport.ssh import SshTransport

    return SshTransport(device)
