"""Child processes of an export end with the process that started them, however that ends: killed, too.

The kernel sends the signal (prctl, Linux). Elsewhere a thread looks whether the parent has changed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

#: Variable that names the process without which the child has no purpose.
PARENT = "EDGEBENCH_PARENT"
_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_S = 1.0

#: For a program that knows nothing of edgebench: the same, then the module that the second argument names.
_BOUND_MODULE = """
import os, runpy, sys
try:
    import ctypes
    ctypes.CDLL(None).prctl(1, 9)
    os.kill(int(sys.argv[1]), 0)
except ProcessLookupError:
    sys.exit(1)
except Exception:
    pass
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def end_with_parent() -> None:
    """End this process as soon as the one that `PARENT` names has ended."""
    parent = os.environ.get(PARENT, "")
    if not parent.isdecimal():
        return
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_end_once_orphaned, args=(os.getppid(),), daemon=True).start()
    try:
        os.kill(int(parent), 0)  # it may have ended before the kernel knew
    except ProcessLookupError:
        os._exit(1)
    except OSError:
        pass  # another user's by now


def _end_once_orphaned(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os._exit(1)


def module_command(python: Path, module: str, arguments: Sequence[str | Path]) -> list[str]:
    """Return the command that runs a module with any Python, and ends with this process."""
    return [str(python), "-c", _BOUND_MODULE, str(os.getpid()), module, *map(str, arguments)]
