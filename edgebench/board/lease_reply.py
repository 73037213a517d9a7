"""A board's answer about its lease, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgebench.errors import AgentError
from edgebench.text import printable
from edgebench_agent import protocol

_DEFAULT_POLL_S, _MAX_POLL_NS = 2.0, 10 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a board's lease, as its agent reports it. `since` is the board's clock."""

    owner: str
    purpose: str
    since: str
    left_s: float

    def __str__(self) -> str:
        return f"{self.owner} ({self.purpose})"

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as `device release --json` writes them."""
        return {"who": self.owner, "purpose": self.purpose, "since": self.since, "left_s": self.left_s}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseReply:
    """What a board answers to a request about its lease.

    Args:
        is_granted: whether the lease is ours now.
        token: the number of the grant: ours where `is_granted`, else the holder's; 0: nobody holds the board.
        holder: who holds the board; None: nobody.
        released: from whom it was taken.
        ahead: how many wait before us.
        waiting: who waits, the first in the queue first.
        poll_s: after how long to ask again.
        note: something that the user should know.
    """

    is_granted: bool = False
    token: int = 0
    holder: Holder | None = None
    released: Holder | None = None
    ahead: int = 0
    waiting: tuple[str, ...] = ()
    poll_s: float = _DEFAULT_POLL_S
    note: str | None = None

    @staticmethod
    def from_reply(reply: Mapping[str, Any], *, name: str) -> LeaseReply:
        """Return the checked answer of device `name`.

        Raises:
            AgentError: the number of the grant is none, or those who wait are no list.
        """
        is_granted, holder = reply.get("granted") is True, reply.get("holder")
        token = reply.get("token") if is_granted else holder.get("token", 0) if isinstance(holder, dict) else 0
        waiting, ahead, poll_ns, note = (reply.get(key) for key in ("waiting", "ahead", "ask_again_ns", "note"))
        waiting = [] if waiting is None else waiting
        if type(token) is not int or not int(is_granted) <= token <= protocol.MAX_INT or type(waiting) is not list:
            raise AgentError(f"{name}: the board's answer about its lease is not valid")
        return LeaseReply(
            is_granted=is_granted,
            token=token,
            holder=_holder(holder),
            released=_holder(reply.get("released")),
            ahead=ahead if type(ahead) is int else 0,
            waiting=tuple(printable(str(owner)) for owner in waiting[:100]),
            poll_s=poll_ns / 1e9 if type(poll_ns) is int and 0 < poll_ns < _MAX_POLL_NS else _DEFAULT_POLL_S,
            note=printable(note, 1000) if type(note) is str else None,
        )


def _holder(report: Any) -> Holder | None:
    if not isinstance(report, dict):
        return None
    owner, purpose, since = (printable(report.get(key, "unknown"), 400) for key in ("who", "purpose", "since"))
    left_ns = report.get("left_ns")
    return Holder(owner=owner, purpose=purpose, since=since, left_s=left_ns / 1e9 if type(left_ns) is int else 0.0)
