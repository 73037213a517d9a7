"""Child: a job of an export in a process of its own, so that its memory is released and a crash is an error message.

Standard input of the child: the job, one JSON object. Last line of its standard output: the answer, one JSON object, or
`{"error": message, "kind": class name}` with status 1. Standard error is the log. For the export itself, which reports
its progress as well, see isolation.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgebench.errors import CheckpointError, EdgebenchError, ExportError
from edgebench.export.isolation import MEMORY_SIGNALS, out_of_memory_message, stood_still
from edgebench.export.libraries import crash_message
from edgebench.export.lifetime import PARENT, end_with_parent
from edgebench.export.standstill import ended_at_standstill

_LOG_TAIL = 4000
_LONG_REASON = 200  # characters

# --- the parent -------------------------------------------------------------------------------------------------


def run_child(command: Sequence[str], job: Mapping[str, Any], *, subject: str, what: str) -> dict[str, Any]:
    """Run a child that ends with this process; return its answer.

    Args:
        command: starts a module whose `main` is `serve`.
        subject: what the job is about, for messages: a path.
        what: what the job does, for messages, e.g. "trimming".

    Raises:
        CheckpointError: as the child says.
        ExportError: as the child says, or it died.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, PARENT: str(os.getpid()), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
    ) as child:
        try:
            with ended_at_standstill(child) as watch:
                output, log = child.communicate(json.dumps(job).encode())
        except BaseException:
            child.kill()
            raise
    answer = _last_object(output)
    if child.returncode == 0:
        return answer
    error = stood_still(subject, what) if watch.stood_still else _error(answer, child.returncode, subject, what)
    error.add_note(log.decode(errors="replace")[-_LOG_TAIL:])
    raise error


def _last_object(output: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(output.decode(errors="replace").splitlines()[-1])
    except (IndexError, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _error(answer: Mapping[str, Any], status: int, subject: str, what: str) -> ExportError:
    if "error" in answer:
        kind = CheckpointError if answer.get("kind") == CheckpointError.__name__ else ExportError
        return kind(str(answer["error"]))
    if crashed := crash_message(subject, status, importing=None):
        return ExportError(crashed)
    if -status in MEMORY_SIGNALS:
        return ExportError(
            out_of_memory_message(subject, f"{what} was killed by signal {-status}, probably for want of memory")
        )
    return ExportError(f"{subject}: {what} ended with status {status} and no answer")


# --- the child --------------------------------------------------------------------------------------------------


def serve(do: Callable[[dict[str, Any]], Mapping[str, Any]], *, failure: Callable[[dict[str, Any]], str]) -> None:
    """Do the job that standard input names, print the answer, and end this process.

    Args:
        do: does the job and returns the answer.
        failure: says of a job what can't be done, where an error of a library gives the reason.
    """
    end_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries print to it
    job = json.load(sys.stdin)
    try:
        answer = dict(do(job))
    except EdgebenchError as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    except Exception as error:  # noqa: BLE001 - the parent reports it in one line; standard error has the traceback
        traceback.print_exception(error)
        reason = " ".join(str(error).split())[:_LONG_REASON] or type(error).__name__
        answer = {"error": f"{failure(job)}: {reason}", "kind": CheckpointError.__name__}
    print(json.dumps(answer), file=answers, flush=True)
    sys.exit("error" in answer)
