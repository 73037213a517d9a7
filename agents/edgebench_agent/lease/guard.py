"""guard: restores the board's clocks after the end of the lease under which they were set, if nobody else did.

A session whose host was killed can't restore them, and the next session may come in a week. `power` starts one detached
guard per lease. The guard checks rarely, so that it does not disturb measurements.
"""

import os
import subprocess
import time
from functools import partial

from ..home import Home, board_root, own_command
from .board_lease import BoardLease
from .lock import current_run
from .power import Power

_CHECK_EVERY_S = 5.0
#: How long after the end of the lease: a host that lost its connection tries so long to reach the board again.
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
    """Restore what was set under lease `token` once the lease is over; return when it is restored, by anybody."""
    os.nice(19)
    lease, power = BoardLease(home), Power(home, board_root())
    restore = partial(power.restore_after, 0, keep_damaged=True)
    while power.token_on_record() == token:
        # A run without renewal ends by itself; until then, the clocks must not change.
        if current_run(home) is None and lease.end_overdue(token, _GRACE_NS, restore):
            return
        time.sleep(_CHECK_EVERY_S)
