"""Isolation: runs the memory-intensive part of an export in a child process.

Its peak memory can then be measured and is released afterwards, output of torch goes to a log, and a kill by the
out-of-memory killer becomes an error message. worker.py is the program of the child.
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
from edgebench.export.libraries import crash_message
from edgebench.export.lifetime import PARENT
from edgebench.export.standstill import STANDSTILL_S, ended_at_standstill

#: Command of the child. -P: don't import modules such as a torch.py from the working folder.
WORKER: tuple[str, ...] = (sys.executable, "-P", "-m", "edgebench.export.worker")
_LOG_TAIL, _LONGEST_LOG = 4000, 1 << 20  # characters that -vv shows, bytes that are searched
#: How a process ends without memory: the kernel kills it, or a native library aborts when an allocation fails.
MEMORY_SIGNALS = (signal.SIGKILL, signal.SIGABRT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The child's job; paths are strings.

    Attributes:
        checkpoint: the folder; None for the reference model that `source` names.
        expected: file of torch's outputs; written if it does not exist.
        folder: existing folder for the exported files.
        skeleton: ONNX: file of the skeleton; written if it does not exist.
        made_from: TFLite: the float32 file to quantise.
        elsewhere: TFLite: further runtimes to check in, as (version of tflite-runtime, Python).
        only_elsewhere: the file is already in the folder; only check it in the further runtimes.
        accept_parity: figures of parity beyond their limits are recorded and are no error.
        quality_floor: the floor that the file must reach, by keeping layers in higher precision.
    """

    source: str
    checkpoint: str | None
    task: str
    format: str
    expected: str
    folder: str
    skeleton: str = ""
    made_from: str | None = None
    buckets: tuple[int, ...] = ()
    choices: int | None = None
    elsewhere: tuple[tuple[str, str], ...] = ()
    only_elsewhere: bool = False
    accept_parity: bool = False
    quality_floor: float | None = None


def out_of_memory_message(source: str, what: str) -> str:
    """Return the message for an export that ran out of memory."""
    return f"{source}: {what}; try to close other programs, or export on a larger machine"


def stood_still(source: str, what: str) -> ExportError:
    """Return the error for a child that was ended because it did nothing any more."""
    seconds = f"{STANDSTILL_S:.0f} s"
    return ExportError(
        out_of_memory_message(source, f"{what} did nothing for {seconds} and was ended, probably for want of memory")
    )


#: Out-of-memory messages of the kernel, torch, C++, the linker, the agent and ONNX Runtime.
NO_MEMORY = (
    "annot allocate memory",
    "can't allocate memory",
    "bad_alloc",
    "failed to map segment",
    "not enough memory",
    "Failed to allocate memory",
)
#: The same in tracebacks, of OpenBLAS, which then interrupts the program, and of Python where the MemoryError is lost.
_NO_MEMORY_IN_LOGS = (
    "MemoryError",
    "OpenBLAS blas_thread_init: pthread_create failed",
    "can't start new thread",
    "returned NULL without setting an exception",
)


def run_job(job: Job, *, on_progress: Callable[[str], None]) -> dict[str, Any]:
    """Return the child's result.

    It is `parity`, `parity_elsewhere`, `refused_by`, `parameters`, `notes`, `quality` and `peak_rss_bytes`; with
    `only_elsewhere` it is `parity_elsewhere` and `refused_by` alone.

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
                "OMP_WAIT_POLICY": "PASSIVE",  # waiting threads that spin take the time of those they wait for
                **os.environ,
                PARENT: str(os.getpid()),
                "HF_HUB_OFFLINE": "1",
                "ORT_DISABLE_TELEMETRY": "1",
                "TOKENIZERS_PARALLELISM": "false",
            },
        )
        try:
            with ended_at_standstill(child) as watch:
                answer = _converse(child, job, on_progress)
                child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
        if "result" in answer:
            result: dict[str, Any] = answer["result"]
            return result
        log.seek(max(0, log.seek(0, os.SEEK_END) - _LONGEST_LOG))
        said = log.read().decode(errors="replace")
        if watch.stood_still:
            error = stood_still(job.source, "the export")
        elif _ended_for_memory(answer, child.returncode, said):
            error = ExportError(out_of_memory_message(job.source, "there was not enough memory for the export"))
        else:
            error = _error(job, answer, child.returncode)
        error.add_note(said[-_LOG_TAIL:])
        raise error


def _converse(child: subprocess.Popen[bytes], job: Job, on_progress: Callable[[str], None]) -> dict[str, Any]:
    """Return the child's last message; if it ended without a result or an error, which library it was importing."""
    importing = None
    assert child.stdin is not None and child.stdout is not None  # noqa: S101 - both are pipes
    with child.stdout:
        try:
            with child.stdin:
                child.stdin.write(json.dumps(asdict(job)).encode())
        except BrokenPipeError:
            pass  # the exit status gives the reason
        for line in child.stdout:
            answer: dict[str, Any] = json.loads(line)
            if "importing" in answer:
                importing = answer["importing"]
            elif "progress" in answer:
                on_progress(answer["progress"])
            else:
                return answer
    return {"importing": importing}


def _ended_for_memory(answer: dict[str, Any], status: int, log: str) -> bool:
    """Whether the log of a child that gives no better reason says so: libraries hide it behind errors of their own."""
    no_better = answer.get("error") == ExportError.__name__ if "error" in answer else status > 0
    return no_better and any(words in log for words in (*NO_MEMORY, *_NO_MEMORY_IN_LOGS))


def _error(job: Job, answer: dict[str, Any], status: int) -> ExportError:
    if "error" in answer:
        kind = getattr(errors, answer["error"])
        message = answer["message"]
        return kind(message) if issubclass(kind, ExportError) else ExportError(message)
    if crashed := crash_message(job.source, status, importing=answer.get("importing")):
        return ExportError(crashed)
    if -status in MEMORY_SIGNALS:
        return ExportError(
            out_of_memory_message(job.source, f"the export was killed by signal {-status}, probably for want of memory")
        )
    if status < 0:
        return ExportError(f"{job.source}: the export died of signal {-status}; -vv shows the end of its log")
    return ExportError(f"{job.source}: the export ended with status {status} and no answer")
