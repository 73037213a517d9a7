"""The files of the board's lease: its state, changed by one process at a time, and the time of the last renewal.

    lease.json      the holder, the queue, what was released by force, which tickets were given back
    lease.renewed   `<nanoseconds since boot> <boot id> <token>`: written in place, which works on a full disk, too
    lease.lock      held while a process changes either

Other versions of the agent read and write the same files. In them, `who` is the owner of a lease.
"""

import fcntl
import json
import os
import re
import time
from contextlib import contextmanager, suppress
from typing import Any, Dict, Iterator, NamedTuple, Optional

from ..board.kernel_files import boot_id
from ..home import Home
from ..protocol.checks import ProtocolError, decode_object
from ..protocol.wire import MAX_INT, encode_object

_TTL_OF_UNKNOWN_NS = 120_000_000_000
#: Without a state, tokens go on from here above the last one that is known: none is ever granted twice.
_TOKEN_GAP = 1 << 20
_MAX_STATE_BYTES = 1 << 20
_RENEWAL_BYTES = 128

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


class Renewal(NamedTuple):
    """When a lease was last renewed: nanoseconds since boot, the boot, the lease's token (0: never)."""

    at_ns: int
    boot: str
    token: int


class LeaseFiles:
    """The files of the lease of the board whose agent's folder is `home`."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.boot = boot_id() or "?"

    @contextmanager
    def changing(self, *, keep: bool = True) -> Iterator[Dict[str, Any]]:
        """Yield the state while no other process can change it; write it back unless `keep` is false."""
        lock = self._lock()
        try:
            state = self.read()
            yield state
            if keep:
                self._write(state)
        finally:
            os.close(lock)

    def _lock(self) -> int:
        """Return the lock file, locked and still in place: `remove` may have deleted it while we waited."""
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

    def read(self) -> Dict[str, Any]:
        """Return the state. If the file is damaged (power loss, an editor), the last renewal says who the holder is."""
        try:
            with self._home.lease.open("rb") as file:
                return _checked(decode_object(file.read(_MAX_STATE_BYTES)))
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
            part.replace(self._home.lease)
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise

    def write_renewal(self, token: int) -> None:
        """Note that lease `token` was renewed now."""
        file = os.open(self._home.lease_renewed, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            length = os.pwrite(file, f"{now_ns():020} {self.boot} {token:020}".encode(), 0)
            os.ftruncate(file, length)  # a longer file, e.g. an editor's, would make every later renewal invalid
        finally:
            os.close(file)

    def renewal(self) -> Renewal:
        """Return the last renewal; of token 0 where there is none, or its file is damaged."""
        try:
            with self._home.lease_renewed.open("rb") as file:
                found = re.fullmatch(rb"([0-9]{20}) (\S{1,64}) ([0-9]{20})\s*", file.read(_RENEWAL_BYTES))
        except OSError:
            found = None
        if found is None:
            return Renewal(0, "", 0)
        return Renewal(int(found[1]), found[2].decode("utf-8", "replace"), int(found[3]))

    def _last_renewing(self, token: int) -> Optional[Dict[str, Any]]:
        """Return the holder that a damaged state has lost, so that its run goes on; None: nobody renewed a lease."""
        if not token:
            return None
        renewal = self.renewal()
        unknown = {"ticket": "?", "who": "somebody", "purpose": "the lease's file was damaged", "since": "?"}
        times = {"ttl_ns": _TTL_OF_UNKNOWN_NS, "granted_ns": renewal.at_ns, "boot": renewal.boot}
        return {**unknown, "token": token, **times}

    def _unused_token(self) -> int:
        """Return a token above all that were granted, though there is no state that says which those were."""
        # In this boot, none was above the nanoseconds since boot when it was granted. The last renewal tells of others.
        return max(now_ns(), self._last_renewed_token() + _TOKEN_GAP)

    def _last_renewed_token(self) -> int:
        token = self.renewal().token
        return token if 0 <= token < MAX_INT - (_TOKEN_GAP << 1) else 0


def _checked(state: Dict[str, Any]) -> Dict[str, Any]:
    """Return the state if it is valid.

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
    left = state.get("left", [])  # older agents do not write it
    if type(left) is not list or any(type(ticket) is not str for ticket in left):
        raise TypeError(left)
    return {**{name: state[name] for name in ("next_token", "holder", "queue", "taken")}, "left": left}


def _check_columns(entry: Any, columns: Dict[str, Any]) -> None:
    if type(entry) is not dict or any(type(entry[name]) is not kind for name, kind in columns.items()):
        raise TypeError(json.dumps(entry)[:80])


def now_ns() -> int:
    """Return nanoseconds since boot: a clock that goes on while the board sleeps and that nobody can set."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
