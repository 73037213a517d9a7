"""lease: what the host asks of the board's lease."""

from typing import Any, Dict

from .board_lease import BoardLease
from .failure import Failure
from .home import Home
from .protocol import LeaseRequest, ProtocolError


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
        return lease.acquire(request)
    if request.do == "leave":
        lease.leave_queue(request.ticket)
    elif request.do == "renew":
        lease.renew(request.token)
    elif request.do == "release":
        lease.release(request.token)
    elif request.do == "force":
        return lease.release_by_force(request.who, request.reason)
    return lease.describe()
