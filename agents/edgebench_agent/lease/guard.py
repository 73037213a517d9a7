"""guard: puts the board's clocks back when the lease under which they were set is over, and nobody else did.

A session whose host was killed can't, and the next one may come in a week. `power` starts one guard a lease, detached;
it only sleeps and looks, seldom enough to disturb no measurement.
"""

import os
import subprocess
import time

from ..home import Home, board_root, own_command
from .board_lease import BoardLease
from .lock import running
from .power import Power

_LOOK_EVERY_S = 5.0
#: How long after the lease's end: a host that lost its connection looks for its board so long, and may go on then.
_GRACE_NS = 600_000_000_000


def start_guard(token: int) -> None:
    """Start the guard of what is set under lease `token`, in a session of its own."""
    command, environment = own_command("guard", str(token))
    subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def guard(home: Home, token: int) -> None:
    """Return once nothing is set any more under lease `token`: somebody put it back, in the end we did."""
    os.nice(19)
    lease, power = BoardLease(home), Power(home, board_root())
    while power.token_on_record() == token:
        # A run that nobody renews ends itself; until then it is measured with what was set.
        if running(home) is None and lease.end_overdue(token, _GRACE_NS, lambda: power.restore_after(0, is_told=False)):
            return
        time.sleep(_LOOK_EVERY_S)
