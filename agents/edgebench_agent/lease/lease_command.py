"""lease: what the host asks of the board's lease."""

from typing import Any, Dict, Optional

from ..home import Home, board_root
from ..protocol.checks import ProtocolError
from ..protocol.failure import Failure
from ..protocol.requests import LeaseRequest
from .board_lease import BoardLease


def obey(home: Home, line: bytes) -> Dict[str, Any]:
    """Do what a request says; return the reply.

    Raises:
        Failure: lease_lost, busy, bad_request.
    """
    try:
        request = LeaseRequest.from_json(line)
    except ProtocolError as error:
        raise Failure("bad_request", str(error)) from error
    lease = BoardLease(home)
    if request.do in ("acquire", "leave") and not request.ticket:
        raise Failure("bad_request", f"to {request.do} takes a ticket")
    if request.do == "acquire":
        reply = lease.acquire(request)
        left = _put_power_back(home, reply["token"]) if reply["granted"] else None
        return reply if left is None else {**reply, "note": left}
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
        _put_power_back(home, now["holder"]["token"] if now["holder"] is not None else 0)
    return now if released is None else released


def _put_power_back(home: Home, token: int) -> Optional[str]:
    """Put back what another than the holder of this token left; return why that failed, None where it did not."""
    if not home.power.exists():
        return None
    from .power import Power  # here: it loads much, which a lease seldom needs

    return Power(home, board_root()).restore_after(token)
