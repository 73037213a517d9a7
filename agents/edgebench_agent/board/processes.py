"""The processes that keep the board busy: they disturb measurements, and a person can end them by name."""

import time
from typing import Any, Dict, List, Optional

_WATCH_S = 0.5
_MIN_MILLICORES = 50
_MAX_COUNT = 5


def busiest_processes() -> Optional[List[Dict[str, Any]]]:
    """Return the processes that use most CPU time now (`name`, `cpu_millicores`), the busiest first.

    None where psutil is not installed, which is needed for nothing else.
    """
    try:
        import psutil
    except ImportError:
        return None
    own = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    watched = [process for process in psutil.process_iter(["name"]) if process.pid not in own]
    for process in watched:
        _millicores(process)  # the first call only starts the clock
    time.sleep(_WATCH_S)
    used = sorted(((_millicores(process), process.info["name"] or "") for process in watched), reverse=True)
    return [{"name": name, "cpu_millicores": amount} for amount, name in used[:_MAX_COUNT] if amount >= _MIN_MILLICORES]


def _millicores(process: Any) -> int:
    import psutil

    try:
        percent: float = process.cpu_percent(None)
        return round(percent * 10)
    except psutil.Error:
        return 0
