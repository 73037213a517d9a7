"""A cell measured in a process of its own: it can be interrupted as a command is, and takes no other board along."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from edgebench.benches.task import INTERRUPTED, CellResult, CellTask, read_result
from edgebench.device import Device
from edgebench.errors import AgentError

#: How long an interrupted session may take to give its board back; then its process is killed.
_ENDING_S = 13.0
_LONGEST_LINE = 1 << 20


def measure_in_process(
    task: CellTask,
    device: Device,
    *,
    bench: str,
    report: Callable[[Mapping[str, Any]], None],
    interrupted: threading.Event,
) -> CellResult:
    """Measure a cell in a child process, which looks the device up in the same settings as this one.

    Raises:
        AgentError: the process ended without a result.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "edgebench.benches.child", bench],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # the bench's Ctrl-C is passed on once, by us
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    assert child.stdin is not None and child.stdout is not None  # noqa: S101 - both are pipes
    ended = threading.Event()
    threading.Thread(target=_pass_on, args=(child, interrupted, ended), name=f"ends-{device.name}", daemon=True).start()
    result: CellResult | None = None
    try:
        with suppress(BrokenPipeError):
            child.stdin.write(task.to_text() + "\n")
            child.stdin.flush()  # it stays open: its end tells the child that the bench is gone
        while line := child.stdout.readline(_LONGEST_LINE):
            found = _line(line)
            if "result" in found:
                result = read_result(json.dumps(found["result"]))
            elif isinstance(found.get("event"), dict):
                report(found["event"])
        code = child.wait()
    finally:
        ended.set()
        with suppress(BrokenPipeError):
            child.stdin.close()
        child.stdout.close()
        if child.poll() is None:
            child.kill()
            child.wait()
    if result is None and interrupted.is_set():
        return CellResult(state=INTERRUPTED, bench=bench, session=task.session)
    if result is None:
        raise AgentError(f"the process that measured {device.name} ended with code {code}; the bench's output says why")
    return result


def _line(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _pass_on(child: subprocess.Popen[str], interrupted: threading.Event, ended: threading.Event) -> None:
    """Interrupt the child once the task is interrupted; kill it if it does not end in time."""
    while not interrupted.wait(0.1):
        if ended.is_set():
            return
    with suppress(ProcessLookupError):
        child.terminate()
    if not ended.wait(_ENDING_S):
        with suppress(ProcessLookupError):
            child.kill()
