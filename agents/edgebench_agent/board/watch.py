"""What else keeps the board busy just now: the same sensors by which a run is judged, read over a short time."""

import os
import time
from pathlib import Path
from typing import Any, Dict

from .kernel_files import read_text
from .processes import busiest, processor_times, with_ancestors
from .sensors import control_group, load, steal

_WATCH_S = 0.5
_LOAD = ("others_cpu_millicores", "steal_cpu_millicores", "quota_cpu_millicores", "waiting_cpu_permille")
_KERNEL_NAME = 15  # characters of a process's name that the kernel keeps


def watch_load(root: Path, seconds: float = _WATCH_S) -> Dict[str, Any]:
    """Return the load of others over some seconds: `load` and `busiest`.

    `load`: `others_cpu_millicores`, `steal_cpu_millicores`, `quota_cpu_millicores` and `waiting_cpu_permille` as in a
    run, None where the board does not report them;
    `watched_ms`; `usable_cores`; `own_pids`: whether this is a container that sees only its own processes.
    `busiest`: the processes that use most of it (`pid`, `name`, `cpu_millicores`); None: /proc names none.
    """
    found_readers = (
        load.find(root, None),
        steal.find(root, 0),
        control_group.find_quota(root, None),
        control_group.find_pressure(root, None),
    )
    began = time.monotonic()
    before = processor_times(root)
    time.sleep(seconds)
    watched = time.monotonic() - began
    values: Dict[str, Any] = dict.fromkeys(_LOAD)
    for read in found_readers:
        if read is not None:
            values.update(read())
    values.pop("agent_cpu_millicores", None)
    values["watched_ms"] = round(1000 * watched)
    values["usable_cores"] = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    values["own_pids"] = sees_own_pids_only(root)
    found = None
    if before is not None:
        own = with_ancestors(root, os.getpid())
        busy = busiest(root, before, watched, without=own, full_name=lambda pid, name: full_name(root, pid, name))
        found = [process._asdict() for process in busy]
    return {"load": values, "busiest": found}


def full_name(root: Path, pid: int, name: str) -> str:
    """Return the name of a process without the kernel's limit of 15 characters, where psutil is installed."""
    if len(name) < _KERNEL_NAME:
        return name
    try:
        import psutil
    except ImportError:
        return name
    before, psutil.PROCFS_PATH = psutil.PROCFS_PATH, str(root / "proc")
    try:
        return str(psutil.Process(pid).name())
    except (psutil.Error, OSError, ValueError):
        return name  # it has ended
    finally:
        psutil.PROCFS_PATH = before


def sees_own_pids_only(root: Path) -> bool:
    """Return whether this process is in a container whose process numbers are its own.

    The number 2 is the kernel's thread of threads outside of them; a kernel that shows none says the same.
    """
    name = (read_text(root / "proc/2/stat") or "").partition("(")[2].rpartition(")")[0]
    return name != "kthreadd"
