"""The board's lease: one owner at a time, in the order in which they asked. It ends by itself without renewal.

A lease ends after its time to live, counted on CLOCK_BOOTTIME within one boot. Each grant has a token, larger than all
before: a run carries it, and ends once the board's lease has another. Where no state is left to count on from (`remove`
deletes it), tokens begin at the nanoseconds since boot, so that an owner who slept meanwhile never meets its own token
again.

A waiter polls with its ticket. A ticket that is no longer polled leaves the queue, so a killed waiter blocks nobody.
"""

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from ..home import Home
from ..protocol.failure import Failure
from .lease_files import LeaseFiles, now_ns

if TYPE_CHECKING:
    from ..protocol.requests import LeaseRequest  # not loaded by every command

#: A ticket that was not polled for so long leaves the queue. Waiters are asked to poll at least three times as often.
_FORGOTTEN_NS = 30_000_000_000
#: Each poll starts a Python process on the board, which disturbs the measurement in progress, so only the first in the
#: queue polls often. The host accepts at most ten seconds.
_FIRST_POLLS_EVERY_NS, _OTHERS_POLL_EVERY_NS = 5_000_000_000, 9_000_000_000
_MAX_WAITERS = 256
_KEPT_RECORDS = 20
_KEPT_LEFT = 64


class BoardLease:
    """The lease of the board whose agent's folder is `home`."""

    def __init__(self, home: Home) -> None:
        self._files = LeaseFiles(home)

    # --- for those who want it ----------------------------------------------------------------------------------

    def acquire(self, request: "LeaseRequest") -> Dict[str, Any]:
        """Grant the board to the ticket if it is free and nobody waits before; else return who has it.

        The same ticket may be sent again, e.g. after the connection broke: it keeps what it was granted.

        Raises:
            Failure: busy: too many wait already; lease_lost: the ticket was given back.
        """
        with self._files.changing() as state:
            if request.ticket in state["left"]:
                raise Failure("lease_lost", "this session has given up the board already")
            now = now_ns()
            self._forget_the_dead(state, now)
            holder = state["holder"]
            if holder is not None and holder["ticket"] == request.ticket:
                self._files.write_renewal(holder["token"])
                return {"granted": True, "token": holder["token"]}
            position = self._queue_up(state, request, now)
            if holder is None and position == 0:
                return self._grant(state, request)
            return {
                "granted": False,
                "ahead": position,
                "holder": self._shown(holder),
                "ask_again_ns": _OTHERS_POLL_EVERY_NS if position else _FIRST_POLLS_EVERY_NS,
            }

    def leave_queue(self, ticket: str) -> None:
        """Give a ticket back, and the board with it: a waiter that was interrupted may not know that it was granted.

        A poll with this ticket that is still under way will be refused.
        """
        with self._files.changing() as state:
            state["queue"] = [waiter for waiter in state["queue"] if waiter["ticket"] != ticket]
            state["left"] = [*(left for left in state["left"] if left != ticket), ticket][-_KEPT_LEFT:]
            if state["holder"] is not None and state["holder"]["ticket"] == ticket:
                state["holder"] = None

    def renew(self, token: int) -> None:
        """Note that the owner still wants the board.

        Raises:
            Failure: lease_lost: it has another owner by now, or was released by force.
        """
        with self._files.changing(keep=False) as state:
            self._require(state, token)
            self._files.write_renewal(token)

    def release(self, token: int) -> None:
        """Give the board back; nothing happens if it has another owner by now."""
        with self._files.changing() as state:
            if state["holder"] is not None and state["holder"]["token"] == token:
                state["holder"] = None

    def release_by_force(self, owner: str, reason: str, token: int = 0) -> Dict[str, Any]:
        """Take the board from its owner. `owner` says by whom; this and the reason are kept for the one who lost it.

        `token`: only from the owner who was seen with it; 0: from any.

        Raises:
            Failure: busy: the board has another owner by now.
        """
        with self._files.changing() as state:
            holder = state["holder"]
            if holder is None:
                return {"released": None}
            if token not in (0, holder["token"]):
                raise Failure("busy", f"{_described(holder)} has this board by now; nothing was taken away")
            lost = {name: holder[name] for name in ("token", "who")}
            record = {**lost, "by": owner, "reason": reason, "at": _wall_clock()}
            state["taken"] = [*state["taken"], record][-_KEPT_RECORDS:]
            state["holder"] = None
            return {"released": self._shown(holder)}

    def end_overdue(self, token: int, grace_ns: int, clean_up: Callable[[], object]) -> bool:
        """End the lease `token` if it is overdue by more than `grace_ns`, and clean up before the next is granted.

        Returns:
            False if the lease is not over. A lease that has no owner any more is cleaned up after; one that has another
            owner is not.
        """
        with self._files.changing() as state:
            holder = state["holder"]
            if holder is not None and holder["token"] != token:
                return True
            if holder is not None and self._left_ns(holder, now_ns()) + grace_ns > 0:
                return False
            state["holder"] = None
            clean_up()
            return True

    def describe(self) -> Dict[str, Any]:
        """Return who holds the board, who waits, and what was released by force."""
        with self._files.changing(keep=False) as state:
            self._forget_the_dead(state, now_ns())
            return {
                "holder": self._shown(state["holder"]),
                "waiting": [waiter["who"] for waiter in state["queue"]],
                "taken": state["taken"],
            }

    # --- for runs -----------------------------------------------------------------------------------------------

    def require(self, token: int) -> None:
        """Make sure that a run with this token may begin; 0: a run without a lease.

        Raises:
            Failure: lease_lost: the token is not the owner's; busy: there is no token, and the board has an owner.
        """
        with self._files.changing(keep=False) as state:
            self._forget_the_dead(state, now_ns(), spare=token)
            if token:
                self._require(state, token)
                self._files.write_renewal(token)
            elif state["holder"] is not None:
                raise Failure("busy", f"{_described(state['holder'])} holds this board; try again when it is free")

    def why_lost(self, token: int) -> Optional[str]:
        """Return why a run with this token must end, or None. It only reads, because it is called every second."""
        state = self._files.read()
        holder = state["holder"]
        if not token or (holder is not None and holder["token"] == token):
            return None
        return _loss(state, token)

    # --- the state ----------------------------------------------------------------------------------------------

    def _forget_the_dead(self, state: Dict[str, Any], now: int, spare: int = 0) -> None:
        """End a lease whose time is over, and drop tickets that are no longer polled.

        `spare`: the token of an owner that renews late, before anybody else wanted the board.
        """
        holder = state["holder"]
        if holder is not None and holder["token"] != spare and self._left_ns(holder, now) <= 0:
            state["holder"] = None
        state["queue"] = [
            waiter
            for waiter in state["queue"]
            if waiter["boot"] == self._files.boot and now - waiter["asked_ns"] <= _FORGOTTEN_NS
        ]

    def _left_ns(self, holder: Dict[str, Any], now: int) -> int:
        boot = self._files.boot
        if holder["boot"] != boot:
            return 0  # the board was started again since: the owner's runs are gone
        renewal = self._files.renewal()
        since_ns = holder["granted_ns"]
        if renewal.boot == boot and renewal.token == holder["token"]:
            since_ns = max(since_ns, renewal.at_ns)
        return int(min(since_ns, now) + holder["ttl_ns"] - now)

    def _queue_up(self, state: Dict[str, Any], request: "LeaseRequest", now: int) -> int:
        """Note that a ticket was polled; return how many wait before it."""
        queue: List[Dict[str, Any]] = state["queue"]
        for position, waiter in enumerate(queue):
            if waiter["ticket"] == request.ticket:
                waiter["asked_ns"] = now
                return position
        if len(queue) >= _MAX_WAITERS:
            raise Failure("busy", f"{len(queue)} others wait for this board already; try again later")
        queue.append({"ticket": request.ticket, "who": request.who, "asked_ns": now, "boot": self._files.boot})
        return len(queue) - 1

    def _grant(self, state: Dict[str, Any], request: "LeaseRequest") -> Dict[str, Any]:
        token = state["next_token"]
        del state["queue"][0]
        state["next_token"] = token + 1
        state["holder"] = {
            "token": token,
            "ticket": request.ticket,
            "who": request.who,
            "purpose": request.purpose,
            "ttl_ns": request.ttl_ns,
            "granted_ns": now_ns(),
            "boot": self._files.boot,
            "since": _wall_clock(),
        }
        return {"granted": True, "token": token}

    def _require(self, state: Dict[str, Any], token: int) -> None:
        holder = state["holder"]
        if holder is None or holder["token"] != token:
            raise Failure("lease_lost", _loss(state, token))

    def _shown(self, holder: Optional[Dict[str, Any]]) -> Optional[Dict[str, Any]]:
        if holder is None:
            return None
        shown = {name: holder[name] for name in ("token", "who", "purpose", "since")}
        return {**shown, "left_ns": max(0, self._left_ns(holder, now_ns()))}


def _loss(state: Dict[str, Any], token: int) -> str:
    for record in state["taken"]:
        if record["token"] == token:
            return f"the board's lease was taken away by {record['by']}: {record['reason']}"
    holder = state["holder"]
    now_has = f"; {_described(holder)} holds it now" if holder is not None else ""
    return f"the board's lease was not renewed in time{now_has}"


def _described(holder: Dict[str, Any]) -> str:
    return f"{holder['who']} ({holder['purpose']}, since {holder['since']})"


def _wall_clock() -> str:
    """For people only: a board's clock may be anything."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
