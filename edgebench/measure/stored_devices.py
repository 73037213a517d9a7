"""The board of a stored session: found by its name in this user's edgebench.toml, never made of what the store says.

A store may come from somebody else. If it decided which program is started here, or which host is contacted, then
resuming one of its sessions would run what its author wants.
"""

from __future__ import annotations

from dataclasses import replace

from edgebench.device import LOCAL, Device, configured_devices, find_device, looked_in, parse_address, profile_names
from edgebench.errors import ConfigError
from edgebench.events import LogMessage, OnEvent
from edgebench.request import Request, request_from_json
from edgebench.store import Store
from edgebench.text import printable


def stored_request(
    store: Store, session: str, on_event: OnEvent, *, device: Device | None = None, host: str | None = None
) -> Request:
    """Return the request of a session, on the board that has its name today.

    Args:
        device: the board instead, from the caller.
        host: [user@]host[:port] of a board that no settings file names, from the caller.

    Raises:
        StoreError: the store has no such session, or it can't be read.
        ConfigError: no settings file names the board, or `host` is not an address.
    """
    request = request_from_json(store.read_session(session))
    found = device or (_at(request.device, host) if host is not None else _named(request.device))
    changes = [
        f"{name} {then or 'none'} there, {now or 'none'} now"
        for name in ("host", "user", "python")
        if (then := getattr(request.device, name)) != (now := getattr(found, name))
    ]
    if changes and device is None:
        where = "this machine" if found.is_local else host or found.origin
        on_event(LogMessage(f"{found.name}: the session was on another address: {'; '.join(changes)}; {where} is used"))
    return replace(request, device=found)


def _named(stored: Device) -> Device:
    name = stored.name
    if name == LOCAL or name in configured_devices() or name in profile_names():
        return find_device(name)
    raise ConfigError(
        f"the session was on the board {printable(name, 100)!r}, which no edgebench.toml names ({looked_in()})",
        hint="add it: edgebench device add NAME --host USER@HOST, under this name, or say where it is: `host=ADDRESS`",
    )


def _at(stored: Device, host: str) -> Device:
    user, address, port = parse_address(host)
    known = configured_devices().get(stored.name)
    if known is not None:
        return replace(known, host=address, user=user or known.user, port=port or known.port, host_key=None)
    return Device(name=stored.name, profile=stored.profile, host=address, user=user, port=port)
