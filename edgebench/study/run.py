"""Carrying out a study: sessions that measure its missing cells, with the variants of each device interleaved.

A cell is measured in one session, because only runs of one session are compared with the drift of the board in the
model. So where a variant is added later, all others are measured again with it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from edgebench.benches import LOCAL_EXECUTOR, Scheduler, read_executor
from edgebench.errors import ConfigError, DeviceError, StoreError, gravest_error
from edgebench.events import LogMessage, OnEvent, ignore
from edgebench.measure import Measure, prepare, profile_all, resume, run_sessions
from edgebench.measurement import Measurement
from edgebench.request import WAIT_S, Request, request_from_json
from edgebench.store import Store
from edgebench.study.cells import study_cells
from edgebench.study.file import Study
from edgebench.study.on_benches import run_cells_on_benches
from edgebench.study.requests import session_request
from edgebench.study.scores import evaluate_pending, pending_evaluations, within_reach


def run_study(
    study: Study,
    store: Store,
    *,
    executor: str | Scheduler = LOCAL_EXECUTOR,
    bench_wait_s: float = WAIT_S,
    on_event: OnEvent = ignore,
) -> list[Measurement]:
    """Measure the cells of a study that are missing, several devices at once; then evaluate its tasks.

    A session that was interrupted is resumed. An error on one device does not end the sessions of the others.

    Args:
        executor: `local`: this machine reaches the boards. `dask://HOST:PORT`, `tls://HOST:PORT` or a Scheduler:
            benches that offer their boards there measure the cells (see `start_bench`). With `any_device=True`,
            `read_study` takes boards that no edgebench.toml of this machine names. Tasks are evaluated on boards
            that this machine reaches; the others stay missing.
        bench_wait_s: how long a board may be offered by no bench before its cells are given up, seconds.

    Returns:
        The measurements that were made now; `study_report` compares all of the study's.

    Raises:
        KeyboardInterrupt, EdgebenchError: what ended a session or an evaluation early, after all others have ended.
            What was measured is in the store.
    """
    scheduler = read_executor(executor) if isinstance(executor, str) else executor
    if scheduler is None:
        sessions = missing_sessions(study, store, on_event=on_event)
        results = run_sessions(sessions, on_event=lambda _, event: on_event(event))
    else:
        results = run_cells_on_benches(study, store, scheduler, bench_wait_s=bench_wait_s, on_event=on_event)
    errors = [result.error for result in results if result.error is not None]
    interrupts = [error for error in errors if not isinstance(error, Exception)]
    if interrupts:
        raise interrupts[0]
    pending = pending_evaluations(study, study_cells(study, store), store)
    if scheduler is not None:
        pending = within_reach(pending, on_event)
    errors += evaluate_pending(study, pending, store, on_event)
    if errors:
        raise gravest_error(errors)
    return [measurement for result in results for measurement in result.measurements]


def missing_sessions(study: Study, store: Store, *, on_event: OnEvent) -> dict[str, Measure]:
    """Return the sessions that measure the missing cells, one a device.

    Exports the models first: measurements of files that have changed since don't count. Where a device had to say
    which runtime it has, and failed, its session raises that error.

    Raises:
        EdgebenchError: a model can't be exported, or the store not be read.
    """
    sessions: dict[str, Measure] = {}
    for device in study.devices:
        try:
            prepared = prepare(session_request(study, device, study.workloads), on_event)
        except DeviceError as error:
            sessions[device.name] = partial(_fail, error)
            continue
        artifacts: dict[str, set[str]] = {}
        for row in prepared:
            artifacts.setdefault(row.variant.source, set()).add(row.artifact.sha256)
        unknown = [variant for variant in study.variants if variant.source not in artifacts]
        if unknown:
            raise ConfigError(f"{study.path}: {unknown[0].source} is not what a session names it")
        only = replace(study, devices=(device,))
        missing = tuple(cell.workload for cell in study_cells(only, store, artifacts=artifacts) if not cell.done)
        if missing:
            sessions[device.name] = partial(_measure, session_request(study, device, missing), store)
    return sessions


def _fail(error: DeviceError, *, on_event: OnEvent) -> list[Measurement]:
    """Raise the error that ended a session before it began, as a session that the others do not wait for."""
    raise error


#: Fields in which the same session may differ from its request.
_NOT_MEASURED: dict[str, Any] = {"seed": None, "wait_idle_s": None, "journal": "memory"}


def _measure(request: Request, store: Store, *, on_event: OnEvent) -> list[Measurement]:
    """Resume the latest session with the same request; start one where there is none, or it can't be resumed."""
    for session in reversed(store.sessions()):
        if _stored_request(store, session) == replace(request, **_NOT_MEASURED):
            on_event(LogMessage(f"resuming session {session}"))
            try:
                return resume(session, store=store, on_event=on_event, device=request.device)
            except StoreError as error:
                on_event(LogMessage(f"{error}; starting a new session"))
                break
    return profile_all(request, store=store, on_event=on_event)


def _stored_request(store: Store, session: str) -> Request | None:
    try:
        return replace(request_from_json(store.read_session(session)), **_NOT_MEASURED)
    except (StoreError, ConfigError):
        return None
