"""The command `power`: the host's requests about the board's clocks and power mode."""

from typing import Any, Dict

from ..home import Home, board_root
from ..protocol.checks import ProtocolError
from ..protocol.failure import Failure
from ..protocol.requests import PowerRequest
from .board_lease import BoardLease
from .guard import start_guard
from .power import Power


def handle(home: Home, line: bytes) -> Dict[str, Any]:
    """Carry out a request; return the reply.

    Raises:
        Failure: refused, corrupt, lease_lost, busy, bad_request.
    """
    try:
        request = PowerRequest.from_json(line)
    except ProtocolError as error:
        raise Failure("bad_request", str(error)) from error
    home.create()
    BoardLease(home).require(request.token)  # `show` tries what may be set, so it needs the board, too
    power = Power(home, board_root())
    if request.do == "show":
        return power.show()
    if not request.token:
        raise Failure("bad_request", f"{request.do} needs the board's lease")
    if request.do == "restore":
        return _restore(power)
    try:
        if power.keep(request.token):
            start_guard(request.token)
    except Failure as failure:
        if failure.kind == "corrupt":
            power.forget()  # reported now; the next session takes the present settings as the original ones
        raise
    return power.set(request.token, request.governor, request.power_mode)


def _restore(power: Power) -> Dict[str, Any]:
    """Restore the recorded settings; a damaged record is reported and dropped."""
    try:
        return {"restored": power.restore()}
    except Failure as failure:
        if failure.kind != "corrupt":
            raise
        power.forget()
        return {"restored": False, "note": str(failure)}
