"""Isolation: the heavy part of an export runs in a child process.

So its peak of memory is its own and is given back, what torch prints goes to a log, and a kill for want of memory is an
error message. The child's half is worker.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from edgebench import errors
from edgebench.errors import ExportError

#: What starts the child. -P: a torch.py in the working folder is none of ours.
WORKER = (sys.executable, "-P", "-m", "edgebench.export.worker")
_LOG_TAIL = 4000
#: How a process ends for want of memory: the kernel kills it, or a native library that gets none gives up.
_MEMORY_SIGNALS = (signal.SIGKILL, signal.SIGABRT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the child does; paths as strings. `checkpoint` None: the reference model that `source` names.

    `skeleton` (ONNX) and `expected` (what torch answers) are made if they are not there. TFLite: `made_from` is the
    float32 file, `elsewhere` the further runtimes to check in, as (version of tflite-runtime, Python); with
    `only_elsewhere` the file is in the folder, and nothing else is done.
    """

    source: str
    checkpoint: str | None
    task: str
    format: str
    expected: str
    folder: str  # for the files; exists
    skeleton: str = ""
    made_from: str | None = None
    buckets: tuple[int, ...] = ()
    choices: int | None = None
    elsewhere: tuple[tuple[str, str], ...] = ()
    only_elsewhere: bool = False


def want_of_memory(source: str, what: str) -> str:
    """Return the message of an export that had too little memory."""
    return f"{source}: {what}; try to close other programs, or export on a larger machine"


def run_job(job: Job, *, on_progress: Callable[[str], None]) -> dict[str, Any]:
    """Return the child's result: `parity`, `parity_elsewhere`, `refused_by`, `parameters`, `peak_rss_bytes`; with
    `only_elsewhere` the second and third.

    Raises:
        ExportError: the export failed, or the child was killed.
    """
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            WORKER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={
                **os.environ,
                "HF_HUB_OFFLINE": "1",
                "ORT_DISABLE_TELEMETRY": "1",
                "TOKENIZERS_PARALLELISM": "false",
            },
        )
        try:
            answer = _converse(child, job, on_progress)
            child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
        if "result" in answer:
            result: dict[str, Any] = answer["result"]
            return result
        error = _error(job, answer, child.returncode)
        log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL))
        error.add_note(log.read().decode(errors="replace"))
        raise error


def _converse(child: subprocess.Popen[bytes], job: Job, on_progress: Callable[[str], None]) -> dict[str, Any]:
    """Return the child's last line; empty if it ended without one."""
    assert child.stdin is not None and child.stdout is not None  # noqa: S101 - both are pipes
    with child.stdout:
        try:
            with child.stdin:
                child.stdin.write(json.dumps(asdict(job)).encode())
        except BrokenPipeError:
            pass  # its exit status says why
        for line in child.stdout:
            answer: dict[str, Any] = json.loads(line)
            if "progress" not in answer:
                return answer
            on_progress(answer["progress"])
    return {}


def _error(job: Job, answer: dict[str, Any], status: int) -> ExportError:
    if "error" in answer:
        kind = getattr(errors, answer["error"])
        message = answer["message"]
        return kind(message) if issubclass(kind, ExportError) else ExportError(message)
    if -status in _MEMORY_SIGNALS:
        return ExportError(
            want_of_memory(job.source, f"the export was killed by signal {-status}, probably for want of memory")
        )
    if status < 0:
        return ExportError(f"{job.source}: the export died of signal {-status}; -vv shows the end of its log")
    return ExportError(f"{job.source}: the export ended with status {status} and no answer")
