"""probe: what the board is, which runtimes work there, and what it does now. It collects this from the rooms below."""

from typing import Any, Dict, List

from .board.facts import board_facts
from .board.sensors.reading import read_board
from .board.watch import watch_load
from .home import Home, board_root
from .lease.lock import current_run


def probe(home: Home, runtimes: List[str]) -> Dict[str, Any]:
    """Return the board's facts, whether each of `runtimes` can be imported, the run that measures now or None,
    what else keeps the board busy (see `watch_load`), and what the sensors read.
    """
    return {
        "board": board_facts(home, board_root()),
        "runtimes": _probe_runtimes(runtimes),
        "running": current_run(home),
        **watch_load(board_root()),
        "sensors": read_board(),
    }


def _probe_runtimes(names: List[str]) -> Dict[str, Any]:
    if not names:
        return {}
    from .runtimes.trial import probe_runtime  # only here: a probe of the board alone is quick

    return {name: probe_runtime(name) for name in names}
