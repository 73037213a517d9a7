"""The process that measures one cell: `python -m edgebench.benches.child BENCH`.

The task is the first line of standard input. Standard output has a line of JSON for each event, and one for the result.
The end of standard input means that the bench is gone: the session then ends, and gives its board back.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgebench import ending
from edgebench.artifact import Artifact
from edgebench.benches.task import DONE, INTERRUPTED, CellFile, CellResult, CellTask, failed, read_task
from edgebench.board import formats_on
from edgebench.device import Device, find_device
from edgebench.errors import ConfigError, EdgebenchError, StoreError
from edgebench.events import Began, Ended, Event, LogMessage
from edgebench.measure import Prepared, encode, resolve_workload, run_session
from edgebench.request import Request
from edgebench.serialisation import to_plain
from edgebench.store import Store, find_artifact_files, open_store

#: How often a cell begins again because its session can't go on.
_MOST_SESSIONS = 8


def measure_cell(
    task: CellTask, device: Device, *, bench: str, report: Callable[[Mapping[str, Any]], None]
) -> CellResult:
    """Measure a cell on a device, or what is missing of it; a task that ran before is recognised by its session.

    Raises:
        EdgebenchError: as `edgebench.profile_all`; what was measured until then is in the store.
        KeyboardInterrupt: the same.
    """
    store, request = open_store(task.store), task.request_on(device)
    prepared = prepared_files(task, request, store, bench=bench)

    def on_event(event: Event) -> None:
        if (plain := _plain_event(event)) is not None:
            report(plain)

    session = task.session
    for _ in range(_MOST_SESSIONS):
        try:
            if not is_complete(store, session, request, prepared):
                run_session(session, request, store=store, prepared=prepared, on_event=on_event)
            break
        except StoreError as error:
            if session not in store.sessions():
                raise
            # Another board of that name, another file or other software: its runs can't go on in that session.
            session = following_session(session)
            report({"kind": "log", "text": f"{error}; going on in session {session}"})
    measured = sum(len(each.runs) for each in store.measurements(session=session))
    return CellResult(state=DONE, bench=bench, session=session, measured=measured)


def prepared_files(task: CellTask, request: Request, store: Store, *, bench: str) -> list[Prepared]:
    """Return the rows to measure, from the files that the store has of the task's content hashes.

    Raises:
        StoreError: the store, as this bench sees it, lacks one.
        ConfigError: the board's runtime would compute a file wrong.
    """
    artifacts = [(file, _found(file, store, task, bench=bench)) for file in task.files]
    formats = tuple(dict.fromkeys(artifact.format for _, artifact in artifacts))
    computed = formats_on(request.device, formats, wait_s=request.wait_s)
    for asked, given in zip(formats, computed, strict=True):
        if asked is not given:
            raise ConfigError(
                f"the runtime of {request.device.name} can't compute {asked}",
                hint=f"name {given} in the study's `formats`",
            )
    rows = []
    for file, artifact in artifacts:
        for workload in request.workloads:
            resolved = resolve_workload(artifact, workload)
            rows.append(Prepared(file.variant, artifact, resolved, encode(artifact, resolved)))
    return rows


def _found(file: CellFile, store: Store, task: CellTask, *, bench: str) -> Artifact:
    artifact = find_artifact_files(store, file.sha256)
    if artifact is None:
        raise StoreError(
            f"bench {bench} does not find {file.variant.name} ({file.sha256[:12]}) in the store {task.store}",
            hint="a store for benches is a folder that all of them mount at the same path, or a URL (s3://...)",
        )
    return artifact


def is_complete(store: Store, session: str, request: Request, prepared: Sequence[Prepared]) -> bool:
    """Whether the store has all that the session would measure, of the same files."""
    if session not in store.sessions():
        return False
    found = store.measurements(session=session)
    files = sorted(row.artifact.sha256 for row in prepared)
    return sorted(each.subject.artifact.sha256 for each in found) == files and all(
        sum(run.valid for run in each.runs) >= request.plan.runs and (each.cold_start is not None or not request.cold)
        for each in found
    )


def following_session(session: str) -> str:
    """Return the id of the session in which a cell goes on that can't go on in its own; each attempt finds the same."""
    stem = re.fullmatch(r"(\d{8}T\d{6})-.*", session)
    digest = hashlib.sha256(session.encode()).hexdigest()[:6]
    return f"{stem.group(1) if stem else session}-{digest}"


def _plain_event(event: Event) -> dict[str, Any] | None:
    match event:
        case LogMessage(text):
            return {"kind": "log", "text": text}
        case Began(session):
            return {"kind": "session", "session": session}
        case Ended(subject=subject, run=run, left_s=left_s):
            return {"kind": "run", "text": subject.text, "valid": run.valid, "left_s": left_s}
        case _:
            return None


def _write(out: int, values: Mapping[str, Any]) -> None:
    data = (json.dumps(values) + "\n").encode()
    while data:
        data = data[os.write(out, data) :]


def main(arguments: Sequence[str]) -> None:
    """Measure the cell of standard input."""
    (bench,) = arguments
    out = os.dup(1)
    os.dup2(2, 1)  # native libraries print to it, and our lines must stay whole
    for number in ending.SIGNALS:
        signal.signal(number, _interrupt)
    task = read_task(sys.stdin.readline())
    threading.Thread(target=_watch_bench, name="watches-bench", daemon=True).start()
    try:
        with ending.scope():
            device = find_device(task.device)
            result = measure_cell(task, device, bench=bench, report=lambda event: _write(out, {"event": event}))
    except EdgebenchError as error:
        result = failed(error, bench=bench, session=task.session)
    except KeyboardInterrupt:
        result = CellResult(state=INTERRUPTED, bench=bench, session=task.session)
    _write(out, {"result": to_plain(result)})


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _watch_bench() -> None:
    while sys.stdin.readline():
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1:])
