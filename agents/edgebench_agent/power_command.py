"""power: what the host asks of the board's clocks and power mode."""

from typing import Any, Dict

from .board_lease import BoardLease
from .failure import Failure
from .home import Home, board_root
from .power import Power
from .protocol import PowerRequest, ProtocolError


def obey(home: Home, line: bytes) -> Dict[str, Any]:
    """Do what a request says; return the reply.

    Raises:
        Failure: refused, lease_lost, busy, bad_request.
    """
    try:
        request = PowerRequest.from_json(line)
    except ProtocolError as error:
        raise Failure("bad_request", str(error)) from error
    home.create()
    BoardLease(home).require(request.token)  # to show is to try, too
    power = Power(home, board_root())
    if request.do == "show":
        return power.show()
    if not request.token:
        raise Failure("bad_request", f"to {request.do} takes the board's lease")
    if request.do == "restore":
        return {"restored": power.restore()}
    return power.set(request.token, request.governor, request.power_mode)
