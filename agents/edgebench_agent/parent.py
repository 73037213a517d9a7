"""A process that ends with the one that started it, however that ends."""

import os
import signal
from contextlib import suppress
from typing import Optional

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: Optional[int] = None) -> None:
    """Have the kernel kill this process when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG).

    `parent`: the process that started this one; if that has ended already, this one ends at once. Where the system has
    no such call, a process still ends at its next message, when nobody reads it.
    """
    with suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os._exit(1)
