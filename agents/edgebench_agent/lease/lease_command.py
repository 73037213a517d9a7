"""The command `lease`: the host's requests about the board's lease."""

from typing import Any, Dict, Optional

from ..home import Home, board_root
from ..protocol.checks import ProtocolError
from ..protocol.failure import Failure
from ..protocol.requests import LeaseRequest
from .board_lease import BoardLease


def handle(home: Home, line: bytes) -> Dict[str, Any]:
    """Carry out a request; return the reply.

    Raises:
        Failure: lease_lost, busy, bad_request.
    """
    try:
        request = LeaseRequest.from_json(line)
    except ProtocolError as error:
        raise Failure("bad_request", str(error)) from error
    lease = BoardLease(home)
    if request.do in ("acquire", "leave") and not request.ticket:
        raise Failure("bad_request", f"{request.do} needs a ticket")
    if request.do == "acquire":
        reply = lease.acquire(request)
        note = _restore_power(home, reply["token"]) if reply["granted"] else None
        return reply if note is None else {**reply, "note": note}
    if request.do == "leave":
        lease.leave_queue(request.ticket)
    elif request.do == "renew":
        lease.renew(request.token)
    elif request.do == "release":
        lease.release(request.token)
    force = (request.who, request.reason, request.token)
    released = lease.release_by_force(*force) if request.do == "force" else None
    now = lease.describe()
    if request.do in ("release", "force"):
        _restore_power(home, now["holder"]["token"] if now["holder"] is not None else 0)
    return now if released is None else released


def _restore_power(home: Home, token: int) -> Optional[str]:
    """Restore clocks and power mode unless they are set under this token; return why that failed, or None."""
    if not home.power.exists():
        return None
    from .power import Power  # only here: it loads many modules, and is rarely needed

    return Power(home, board_root()).restore_after(token)
