"""probe: what the board is, and which runtimes work there."""

from typing import Any, Dict, List

from .board.facts import board_facts
from .board.processes import busiest_processes
from .board.sensors.reading import read_board
from .home import Home, board_root, own_command
from .lease.lock import running
from .protocol.checks import ProtocolError, decode_object
from .protocol.failure import Failure
from .protocol.wire import one_line
from .runtimes import RUNTIMES, describe, mending

_IMPORT_TIMEOUT_S = 120


def probe(home: Home, runtimes: List[str]) -> Dict[str, Any]:
    """Return the board's facts, whether each runtime imports, the run that measures now, what keeps the board busy, and
    what its sensors say.

    Raises:
        Failure: bad_request: there is no such runtime.
    """
    return {
        "board": board_facts(home, board_root()),
        "runtimes": {name: _probe_runtime(name) for name in runtimes},
        "running": running(home),
        "busiest": busiest_processes(),
        "sensors": read_board(),
    }


def try_runtime(name: str) -> Dict[str, Any]:
    """Import a runtime in this very process, which may die of it."""

    try:
        found = describe(name)
    except Failure as failure:
        return {**_nothing(str(failure)), "kind": failure.kind}
    return {**_nothing(None), "ok": True, **found._asdict()}


def _nothing(error: Any) -> Dict[str, Any]:
    return {"ok": False, "version": None, "providers": [], "libraries": {}, "error": error}


def _probe_runtime(name: str) -> Dict[str, Any]:
    import signal  # only here: a probe of the board alone is quick
    import subprocess

    if name not in RUNTIMES:
        return _nothing(f"this agent knows no runtime {name!r}; it knows {', '.join(RUNTIMES)}")
    command, environment = own_command("try", name)
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_IMPORT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _nothing(f"importing {name} took longer than {_IMPORT_TIMEOUT_S} s; try: {mending(name)}")
    if done.returncode < 0:
        died = signal.Signals(-done.returncode).name
        return _nothing(
            f"importing {name} died of signal {died}: it is built for another processor or system; try: {mending(name)}"
        )
    try:
        return {**_nothing("no answer"), **decode_object(done.stdout)}
    except ProtocolError:
        said = one_line(done.stderr.decode("utf-8", "replace")[-500:])
        return _nothing(f"importing {name} ended with status {done.returncode}: {said}; try: {mending(name)}")
