"""What a client and a bench say to each other: one task, one result, one event; each is a text of plain JSON.

dask itself pickles the name of the one function that is called (`edgebench.benches.bench.run_cell`) and these texts,
and nothing else of edgebench.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edgebench import errors
from edgebench._version import __version__
from edgebench.device import Device
from edgebench.errors import (
    AgentError,
    AuthenticationError,
    ConnectionFailed,
    ConnectionLost,
    EdgebenchError,
    HostKeyError,
    LeaseLost,
    RunFailed,
    StoreError,
)
from edgebench.request import Request, request_from_json, request_to_json
from edgebench.serialisation import from_plain, to_plain
from edgebench.text import printable
from edgebench.variant import Variant

#: States of a result. interrupted: the bench was stopped; another one may go on.
DONE, FAILED, INTERRUPTED = "done", "failed", "interrupted"
_LONGEST_TEXT = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFile:
    """A file to measure: of which variant, and its content, by which the store has it."""

    variant: Variant
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTask:
    """One cell of a study: a session on one device, with the runs of all variants interleaved.

    Args:
        key: the task's name in the scheduler, see `task_key`.
        topic: where events of it are sent.
        store: where results go: a folder that client and bench share, or a URL.
        session: the session's id, chosen by the client: a task that runs twice completes it.
        request: as `request_to_json` writes it; of its device, only the name counts.
        version: of the client's edgebench.
    """

    key: str
    study: str
    workload: str
    topic: str
    store: str
    session: str
    request: Mapping[str, Any]
    files: tuple[CellFile, ...]
    version: str = __version__

    @property
    def device(self) -> str:
        """The name of the device."""
        return str(self.request["device"]["name"])

    def to_text(self) -> str:
        """Return the task as JSON."""
        return json.dumps(to_plain(self), sort_keys=True)

    def request_on(self, device: Device) -> Request:
        """Return the request on a bench's own device.

        Raises:
            StoreError: it is not valid.
        """
        return replace(request_from_json(self.request), device=device)


def read_task(text: str) -> CellTask:
    """Return the task that a text describes.

    Raises:
        StoreError: it is none.
    """
    if len(text) > _LONGEST_TEXT:
        raise StoreError("a task is longer than a task can be")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"a task is not valid JSON: {error}") from error
    task = from_plain(CellTask, values, where="task", error=StoreError)
    if not isinstance(task.request.get("device"), Mapping) or not isinstance(task.request["device"].get("name"), str):
        raise StoreError("a task names no device")
    return task


def plain_request(request: Request) -> dict[str, Any]:
    """Return a request for a task, without where the client would look for the device."""
    return request_to_json(replace(request, device=Device(name=request.device.name, profile=request.device.profile)))


def task_key(*, study: str, request: Mapping[str, Any], files: tuple[CellFile, ...], store: str, workload: str) -> str:
    """Return the name of a cell's task: what a person reads in dask's dashboard, and what makes it this cell.

    Two clients that run the same study into the same store name the same task, which is then measured once.
    """
    what = {name: value for name, value in request.items() if name != "seed"}
    identity = json.dumps([what, [[file.variant.source, file.sha256] for file in files], store], sort_keys=True)
    device = request["device"]["name"]
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return f"{printable(study, 60)}: {printable(workload, 40)} on {printable(device, 60)} ({digest})"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """How a task ended on a bench.

    Args:
        error: the error in one line, and `kind` the class that it had; None: it is done.
        is_passing: the error may pass: the task may be tried again.
        measured: how many runs the session has in the store; 0 where that is not known.
    """

    state: str
    bench: str
    session: str
    error: str | None = None
    kind: str | None = None
    is_passing: bool = False
    measured: int = field(default=0)

    def to_text(self) -> str:
        """Return the result as JSON."""
        return json.dumps(to_plain(self), sort_keys=True)


def read_result(text: Any) -> CellResult:
    """Return the result that a text describes.

    Raises:
        StoreError: it is none.
    """
    try:
        values = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreError(f"a bench's answer is not valid JSON: {error}") from error
    found = from_plain(CellResult, values, where="a bench's answer", error=StoreError, allow_unknown=True)
    return replace(
        found, bench=printable(found.bench, 100), error=None if found.error is None else printable(found.error, 2000)
    )


def failed(error: EdgebenchError, *, bench: str, session: str) -> CellResult:
    """Return the result of a task that ended with an error."""
    return CellResult(
        state=FAILED,
        bench=bench,
        session=session,
        error=str(error),
        kind=type(error).__name__,
        is_passing=_is_passing(error),
    )


def _is_passing(error: EdgebenchError) -> bool:
    if isinstance(error, RunFailed | HostKeyError | AuthenticationError):
        return False
    return isinstance(error, ConnectionFailed | ConnectionLost | AgentError | LeaseLost)


def error_of(result: CellResult, device: str) -> EdgebenchError:
    """Return the error that ended a task, as the client raises it."""
    kind = getattr(errors, result.kind or "", None)
    if (
        not (isinstance(kind, type) and issubclass(kind, EdgebenchError))
        or kind.__init__ is not EdgebenchError.__init__
    ):
        kind = errors.UsageError if kind is errors.UnknownName else errors.DeviceError
    return kind(f"{device} on bench {result.bench}: {result.error}")
