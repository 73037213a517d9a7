"""What else keeps the board busy: a measurement is disturbed by it, and a name helps to end it."""

import time
from typing import Any, Dict, List, Optional

_WATCH_S = 0.5
_LEAST_MILLICORES = 50
_MOST = 5


def busiest_processes() -> Optional[List[Dict[str, Any]]]:
    """Return the processes that use most CPU time just now (`name`, `cpu_millicores`), the busiest first.

    None where psutil is not installed: it knows every process's time on every kernel, and nothing else needs it.
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
    return [{"name": name, "cpu_millicores": amount} for amount, name in used[:_MOST] if amount >= _LEAST_MILLICORES]


def _millicores(process: Any) -> int:
    import psutil

    try:
        percent: float = process.cpu_percent(None)
        return round(percent * 10)
    except psutil.Error:
        return 0
