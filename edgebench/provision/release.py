"""Giving up a board's lease by hand: look who has it, then take it from that one and nobody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgebench.board.agent import RemoteAgent
from edgebench.board.lease import Holder, holder_of, own_name
from edgebench.board.transport import open_transport
from edgebench.device import Device
from edgebench.errors import AgentError
from edgebench.text import printable
from edgebench_agent import protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenLease:
    """Who had a board when we looked, by the number of the grant, and who waited for it."""

    holder: Holder | None
    token: int  # 0: nobody had it
    waiting: tuple[str, ...]

    @property
    def is_ours(self) -> bool:
        """Whether a session of this user on this machine had it."""
        return self.holder is not None and self.holder.who == own_name()


def see_lease(device: Device) -> SeenLease:
    """Look who has a device.

    Raises:
        DeviceError: the board can't be reached, or its agent doesn't answer as it should.
    """
    reply = _ask(device, protocol.LeaseRequest(do="show"))
    holder, waiting = holder_of(reply), reply.get("waiting")
    token = reply["holder"].get("token") if holder is not None else 0
    if type(token) is not int or not 0 <= token <= protocol.MAX_INT or type(waiting) is not list:
        raise AgentError(f"{device.name}: the board's answer about its lease is not valid")
    return SeenLease(holder=holder, token=token, waiting=tuple(printable(str(who)) for who in waiting[:100]))


def release_seen(device: Device, seen: SeenLease, *, reason: str) -> Holder | None:
    """Take a device from the holder who was seen, who is told the reason; return who that was, None: it was free.

    Raises:
        BoardBusy: somebody else has it by now; nothing was taken away.
        DeviceError: the board can't be reached, or its agent doesn't answer as it should.
    """
    if not seen.token:
        return None
    request = protocol.LeaseRequest(do="force", who=own_name(), reason=printable(reason, 400), token=seen.token)
    return holder_of({"holder": _ask(device, request).get("released")})


def _ask(device: Device, request: protocol.LeaseRequest) -> dict[str, Any]:
    with open_transport(device) as transport:
        agent = RemoteAgent(transport, name=device.name, python=device.python)
        agent.install()
        return agent.lease(request)
