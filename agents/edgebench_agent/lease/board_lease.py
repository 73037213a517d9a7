"""The board's lease: one user at a time, in the order in which they came, freed by itself.

Whoever holds it renews it; without renewal it ends after its time to live, counted on CLOCK_BOOTTIME (which goes on
while the board sleeps and which nobody can set) within one boot. Each grant has a number of its own, larger than all
before: a run carries it, and ends once the board's lease has another. Where there is no state to count on from
(`remove` takes it away), numbers begin at the nanoseconds since boot: whoever held the board before, and was asleep
meanwhile, meets no number that was his.

Waiting is asking again: a ticket that nobody asks for any more leaves the queue, so that a killed waiter holds up
nobody.

    lease.json      who holds it, who waits, what was taken away by force, which tickets were given back
    lease.renewed   `<nanoseconds since boot> <boot id> <token>`: written in place, which works on a full disk, too
    lease.lock      held for the moment in which either changes
"""

import fcntl
import json
import os
import re
import time
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Tuple

from ..board.kernel_files import boot_id
from ..home import Home
from ..protocol.checks import ProtocolError, decode_object
from ..protocol.failure import Failure
from ..protocol.wire import MAX_INT, encode_object

if TYPE_CHECKING:
    from ..protocol.requests import LeaseRequest  # not loaded by every command

#: A ticket that was not asked for so long leaves the queue. Waiters are told to ask at least three times as often.
_FORGOTTEN_NS = 30_000_000_000
#: Each question is a Python that starts on the board, beside the measurement that is waited for: the first in the queue
#: asks more often than the others. The host believes no more than ten seconds.
_ASK_AGAIN_NS, _OTHERS_ASK_AGAIN_NS = 5_000_000_000, 9_000_000_000
_MOST_WAITERS = 256
_TTL_OF_UNKNOWN_NS = 120_000_000_000
_KEPT_RECORDS = 20
_KEPT_LEFT = 64
#: Without a state, numbers go on from here above what is still known: none is ever given twice.
_LEAP = 1 << 20
_MOST_BYTES = 1 << 20
_RENEWAL_BYTES = 128


class BoardLease:
    """The lease of the board whose agent's folder is `home`."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._state = home.lease
        self._renewed = home.lease_renewed
        self._boot = boot_id() or "?"

    # --- for those who want it ----------------------------------------------------------------------------------

    def acquire(self, request: "LeaseRequest") -> Dict[str, Any]:
        """Give the board to the ticket if it is free and nobody waits before; else say who has it.

        The same ticket may ask again, e.g. after the connection broke: what it was given, it keeps.

        Raises:
            Failure: busy: too many wait already; lease_lost: the ticket was given back.
        """
        with self._changing() as state:
            if request.ticket in state["left"]:
                raise Failure("lease_lost", "this session has given up the board already")
            now = _now_ns()
            self._forget_the_dead(state, now)
            holder = state["holder"]
            if holder is not None and holder["ticket"] == request.ticket:
                self._write_renewal(holder["token"])
                return {"granted": True, "token": holder["token"]}
            position = self._queue_up(state, request, now)
            if holder is None and position == 0:
                return self._grant(state, request)
            return {
                "granted": False,
                "ahead": position,
                "holder": self._shown(holder),
                "ask_again_ns": _OTHERS_ASK_AGAIN_NS if position else _ASK_AGAIN_NS,
            }

    def leave_queue(self, ticket: str) -> None:
        """Give a ticket back, and the board with it: whoever was interrupted at the grant has not heard of it.

        A question that is still under way with this ticket is answered no more.
        """
        with self._changing() as state:
            state["queue"] = [waiter for waiter in state["queue"] if waiter["ticket"] != ticket]
            state["left"] = [*(left for left in state["left"] if left != ticket), ticket][-_KEPT_LEFT:]
            if state["holder"] is not None and state["holder"]["ticket"] == ticket:
                state["holder"] = None

    def renew(self, token: int) -> None:
        """Say that the holder still wants the board.

        Raises:
            Failure: lease_lost: it is somebody else's by now, or was taken away.
        """
        with self._changing(keep=False) as state:
            self._require(state, token)
            self._write_renewal(token)

    def release(self, token: int) -> None:
        """Give the board back; nothing happens if it has another holder by now."""
        with self._changing() as state:
            if state["holder"] is not None and state["holder"]["token"] == token:
                state["holder"] = None

    def release_by_force(self, who: str, reason: str, token: int = 0) -> Dict[str, Any]:
        """Take the board from whoever holds it; who did that, and why, is kept and told to the holder.

        `token`: only from the holder who was seen with it; 0: whoever it is.

        Raises:
            Failure: busy: somebody else holds it by now.
        """
        with self._changing() as state:
            holder = state["holder"]
            if holder is None:
                return {"released": None}
            if token not in (0, holder["token"]):
                raise Failure("busy", f"{self._told(holder)} has this board by now; nothing was taken away")
            record = {"token": holder["token"], "who": holder["who"], "by": who, "reason": reason, "at": _wall_clock()}
            state["taken"] = [*state["taken"], record][-_KEPT_RECORDS:]
            state["holder"] = None
            return {"released": self._shown(holder)}

    def end_overdue(self, token: int, grace_ns: int, clean_up: Callable[[], object]) -> bool:
        """End the lease of a holder who is late by more than `grace_ns`; clean up before anybody else can have it.

        False: it is not over. Of a lease that is another's by now, or nobody's, only the latter is cleaned up after.
        """
        with self._changing() as state:
            holder = state["holder"]
            if holder is not None and holder["token"] != token:
                return True
            if holder is not None and self._left_ns(holder, _now_ns()) + grace_ns > 0:
                return False
            state["holder"] = None
            clean_up()
            return True

    def describe(self) -> Dict[str, Any]:
        """Return who holds the board, who waits, and what was taken away by force."""
        with self._changing(keep=False) as state:
            self._forget_the_dead(state, _now_ns())
            return {
                "holder": self._shown(state["holder"]),
                "waiting": [waiter["who"] for waiter in state["queue"]],
                "taken": state["taken"],
            }

    # --- for runs -----------------------------------------------------------------------------------------------

    def require(self, token: int) -> None:
        """Make sure that a run with this token may begin; 0: that of somebody who holds no lease.

        Raises:
            Failure: lease_lost: the token is not the holder's; busy: it has none, and somebody else holds the board.
        """
        with self._changing(keep=False) as state:
            self._forget_the_dead(state, _now_ns(), spare=token)
            if token:
                self._require(state, token)
                self._write_renewal(token)
            elif state["holder"] is not None:
                raise Failure("busy", f"{self._told(state['holder'])} holds this board; try again when it is free")

    def why_lost(self, token: int) -> Optional[str]:
        """Return why a run with this token must end, or None. Reads only: it is asked every second."""
        state = self._read()
        holder = state["holder"]
        if not token or (holder is not None and holder["token"] == token):
            return None
        return self._loss(state, token)

    # --- the state ----------------------------------------------------------------------------------------------

    @contextmanager
    def _changing(self, *, keep: bool = True) -> Iterator[Dict[str, Any]]:
        """Give the state, alone; write it back if it is to be kept."""
        lock = self._locked()
        try:
            state = self._read()
            yield state
            if keep:
                self._write(state)
        finally:
            os.close(lock)

    def _locked(self) -> int:
        """Return the lock's file, locked and still there: `remove` may have taken it away while we waited."""
        while True:
            self._home.create()
            lock = os.open(self._home.lease_lock, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if os.path.samestat(os.fstat(lock), self._home.lease_lock.stat()):
                    return lock
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)

    def _read(self) -> Dict[str, Any]:
        """Return the state. Of a file that is none (a torn disk, an editor) the last renewal tells the rest."""
        try:
            with self._state.open("rb") as file:
                return _checked(decode_object(file.read(_MOST_BYTES)))
        except FileNotFoundError:
            return self._new_state(None)
        except (ProtocolError, KeyError, TypeError, ValueError):
            return self._new_state(self._last_renewing(self._last_renewed_token()))

    def _new_state(self, holder: Optional[Dict[str, Any]]) -> Dict[str, Any]:
        return {"next_token": self._unused_token(), "holder": holder, "queue": [], "taken": [], "left": []}

    def _write(self, state: Dict[str, Any]) -> None:
        part = self._home.lease_part
        try:
            part.write_bytes(encode_object(state))
            part.replace(self._state)
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise

    def _forget_the_dead(self, state: Dict[str, Any], now_ns: int, spare: int = 0) -> None:
        """Take the board from a holder whose time is over, and tickets that nobody asks for out of the queue.

        `spare`: the token of a holder who comes late, before anybody else wanted the board.
        """
        holder = state["holder"]
        if holder is not None and holder["token"] != spare and self._left_ns(holder, now_ns) <= 0:
            state["holder"] = None
        state["queue"] = [
            waiter
            for waiter in state["queue"]
            if waiter["boot"] == self._boot and now_ns - waiter["asked_ns"] <= _FORGOTTEN_NS
        ]

    def _left_ns(self, holder: Dict[str, Any], now_ns: int) -> int:
        if holder["boot"] != self._boot:
            return 0  # whoever held it before the board was started again: their runs are gone
        renewed_ns, boot, token = self._renewal()
        since_ns = holder["granted_ns"]
        if boot == self._boot and token == holder["token"]:
            since_ns = max(since_ns, renewed_ns)
        return int(min(since_ns, now_ns) + holder["ttl_ns"] - now_ns)

    def _queue_up(self, state: Dict[str, Any], request: "LeaseRequest", now_ns: int) -> int:
        """Note that a ticket was asked for; return how many wait before it."""
        queue: List[Dict[str, Any]] = state["queue"]
        for position, waiter in enumerate(queue):
            if waiter["ticket"] == request.ticket:
                waiter["asked_ns"] = now_ns
                return position
        if len(queue) >= _MOST_WAITERS:
            raise Failure("busy", f"{len(queue)} others wait for this board already; try again later")
        queue.append({"ticket": request.ticket, "who": request.who, "asked_ns": now_ns, "boot": self._boot})
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
            "granted_ns": _now_ns(),
            "boot": self._boot,
            "since": _wall_clock(),
        }
        return {"granted": True, "token": token}

    def _require(self, state: Dict[str, Any], token: int) -> None:
        holder = state["holder"]
        if holder is None or holder["token"] != token:
            raise Failure("lease_lost", self._loss(state, token))

    def _loss(self, state: Dict[str, Any], token: int) -> str:
        for record in state["taken"]:
            if record["token"] == token:
                return f"the board's lease was taken away by {record['by']}: {record['reason']}"
        holder = state["holder"]
        now_has = f"; {self._told(holder)} holds it now" if holder is not None else ""
        return f"the board's lease was not renewed in time{now_has}"

    def _told(self, holder: Dict[str, Any]) -> str:
        return f"{holder['who']} ({holder['purpose']}, since {holder['since']})"

    def _shown(self, holder: Optional[Dict[str, Any]]) -> Optional[Dict[str, Any]]:
        if holder is None:
            return None
        shown = {name: holder[name] for name in ("token", "who", "purpose", "since")}
        return {**shown, "left_ns": max(0, self._left_ns(holder, _now_ns()))}

    # --- renewals -----------------------------------------------------------------------------------------------

    def _write_renewal(self, token: int) -> None:
        file = os.open(self._renewed, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            length = os.pwrite(file, f"{_now_ns():020} {self._boot} {token:020}".encode(), 0)
            os.ftruncate(file, length)  # else what was longer, e.g. an editor's, would end every renewal for good
        finally:
            os.close(file)

    def _renewal(self) -> Tuple[int, str, int]:
        try:
            with self._renewed.open("rb") as file:
                found = re.fullmatch(rb"([0-9]{20}) (\S{1,64}) ([0-9]{20})\s*", file.read(_RENEWAL_BYTES))
        except OSError:
            found = None
        return (int(found[1]), found[2].decode("utf-8", "replace"), int(found[3])) if found else (0, "", 0)

    def _last_renewing(self, token: int) -> Optional[Dict[str, Any]]:
        """Return the holder whom a damaged state has lost, so that his run goes on; None: nobody renewed anything."""
        renewed_ns, boot, _ = self._renewal()
        if not token:
            return None
        unknown = {"ticket": "?", "who": "somebody", "purpose": "the lease's file was damaged", "since": "?"}
        return {**unknown, "token": token, "ttl_ns": _TTL_OF_UNKNOWN_NS, "granted_ns": renewed_ns, "boot": boot}

    def _unused_token(self) -> int:
        """Return a number above all that were given, though there is no state that tells which those were."""
        # Of this boot none was above its nanoseconds when it was given; of an earlier one the last renewal tells.
        return max(_now_ns(), self._last_renewed_token() + _LEAP)

    def _last_renewed_token(self) -> int:
        token = self._renewal()[2]
        return token if 0 <= token < MAX_INT - (_LEAP << 1) else 0


_HOLDER = {
    "token": int,
    "ticket": str,
    "who": str,
    "purpose": str,
    "ttl_ns": int,
    "granted_ns": int,
    "boot": str,
    "since": str,
}
_WAITER = {"ticket": str, "who": str, "asked_ns": int, "boot": str}
_TAKEN = {"token": int, "who": str, "by": str, "reason": str, "at": str}


def _checked(state: Dict[str, Any]) -> Dict[str, Any]:
    """Return the state if it is one.

    Raises:
        KeyError, TypeError, ValueError: it is not.
    """
    if type(state["next_token"]) is not int or not 0 < state["next_token"] < MAX_INT:
        raise ValueError(state["next_token"])
    if state["holder"] is not None:
        _check_columns(state["holder"], _HOLDER)
    for entries, columns in ((state["queue"], _WAITER), (state["taken"], _TAKEN)):
        if type(entries) is not list:
            raise TypeError(entries)
        for entry in entries:
            _check_columns(entry, columns)
    left = state.get("left", [])  # of an agent that is older than this one: it keeps none
    if type(left) is not list or any(type(ticket) is not str for ticket in left):
        raise TypeError(left)
    return {**{name: state[name] for name in ("next_token", "holder", "queue", "taken")}, "left": left}


def _check_columns(entry: Any, columns: Dict[str, Any]) -> None:
    if type(entry) is not dict or any(type(entry[name]) is not kind for name, kind in columns.items()):
        raise TypeError(json.dumps(entry)[:80])


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _wall_clock() -> str:
    """For people only: a board's clock may be anything."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
