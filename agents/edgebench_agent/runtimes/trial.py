"""Whether a runtime can be imported and runs a small model: tried in a process of its own, which may die of it."""

import signal
import subprocess
import sys
from typing import Any, Dict, Optional

from ..home import own_command
from ..protocol.checks import ProtocolError, decode_object
from ..protocol.failure import Failure
from ..protocol.wire import one_line
from .registry import RUNTIMES, describe, install_command, open_runtime

_TIMEOUT_S = 120
_IMPORTED = "edgebench: imported\n"  # how far a process came that died


def try_runtime(name: str) -> Dict[str, Any]:
    """Import a runtime in this process, run a small model and return what it is: the agent's command `try`."""
    try:
        found = describe(name)
        sys.stderr.write(_IMPORTED)
        sys.stderr.flush()
        start = getattr(open_runtime(name), "start_session", None)
        if start is not None:
            start()
    except Failure as failure:
        return {**_not_usable(str(failure)), "kind": failure.kind}
    return {**_not_usable(None), "ok": True, **found._asdict()}


def probe_runtime(name: str) -> Dict[str, Any]:
    """Return what a runtime is, or in `error` why it does not work here; it is tried in a child process."""
    if name not in RUNTIMES:
        return _not_usable(f"this agent knows no runtime {name!r}; it knows {', '.join(RUNTIMES)}")
    command, environment = own_command("try", name)
    fix = f"try: {install_command(name)}"
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return _not_usable(f"{_act(name, error.stderr)} took longer than {_TIMEOUT_S} s; {fix}")
    act = _act(name, done.stderr)
    if done.returncode < 0:
        died = signal.Signals(-done.returncode).name
        if -done.returncode == signal.SIGKILL:
            return _not_usable(f"{act} was killed, probably for memory; end other programs on the board")
        return _not_usable(f"{act} died of signal {died}: it is built for another processor or system; {fix}")
    try:
        return {**_not_usable("no answer"), **decode_object(done.stdout)}
    except ProtocolError:
        printed = one_line(done.stderr.decode("utf-8", "replace")[-500:])
        return _not_usable(f"{act} ended with status {done.returncode}: {printed}; {fix}")


def _act(name: str, stderr: Optional[bytes]) -> str:
    """Return what a process that tried a runtime was doing when it ended."""
    return f"the first inference of {name}" if _IMPORTED.encode() in (stderr or b"") else f"importing {name}"


def _not_usable(error: Optional[str]) -> Dict[str, Any]:
    return {"ok": False, "version": None, "providers": [], "libraries": {}, "error": error}
