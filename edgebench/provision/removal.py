"""device setup --remove: everything of edgebench taken off a board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgebench.board.agent import RemoteAgent
from edgebench.board.lease import board_lease
from edgebench.board.transport import open_transport
from edgebench.device import Device
from edgebench.errors import AgentError
from edgebench.events import OnEvent, ignore
from edgebench.request import WAIT_S
from edgebench.text import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What went from a board: number of things and bytes by kind; `left`: what is not edgebench's and stays."""

    device: str
    removed: Mapping[str, tuple[int, int]]
    left: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as `device setup --remove --json` writes them."""
        removed = {kind: {"count": count, "bytes": size} for kind, (count, size) in self.removed.items()}
        return {"device": self.device, "removed": removed, "left": list(self.left)}


def remove_setup(device: Device, *, wait_s: float = WAIT_S, on_event: OnEvent = ignore) -> Removal:
    """Take everything of edgebench off a board: environments, models, journals, the agent itself.

    Raises:
        BoardBusy: a run measures there, or somebody else still had the board after `wait_s`.
        BoardError: something belongs to another user.
        ConnectionFailed, ConnectionLost.
    """
    with open_transport(device) as transport:
        agent = RemoteAgent(transport, name=device.name, python=device.python)
        agent.install()
        with board_lease(agent, device, purpose="device setup --remove", wait_s=wait_s, on_event=on_event):
            reply = agent.remove()
    try:
        removed = {
            printable(kind): (_count(went["count"]), _count(went["bytes"])) for kind, went in reply["removed"].items()
        }
        left = tuple(printable(name) for name in reply["left"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AgentError(f"{device.name}: the board's answer to the removal is not valid") from error
    return Removal(device=device.name, removed=removed, left=left)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(value)
    return value
