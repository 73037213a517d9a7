"""A study over benches: which cells are missing, what each task says, and where its files come from.

Files are exported once, here, and kept in the store; a task names them by their content.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgebench.artifact import Format
from edgebench.benches import (
    BenchClient,
    CellFile,
    CellOutcome,
    CellTask,
    Scheduler,
    connect_benches,
    offered_boards,
    task_key,
)
from edgebench.benches.offers import refuse_missing
from edgebench.benches.task import plain_request
from edgebench.device import Device, load_profile
from edgebench.errors import ConfigError, EdgebenchError, StoreError
from edgebench.events import LogMessage, OnEvent
from edgebench.measure import BoardResult, Prepared, prepare
from edgebench.request import WAIT_S
from edgebench.store import Store, keep_artifact
from edgebench.study.cells import study_cells
from edgebench.study.file import Study
from edgebench.study.requests import session_request
from edgebench.text import counted
from edgebench.workload import Workload


@dataclass(frozen=True, slots=True)
class _Rows:
    """What is measured on the devices of one format: files by workload, and their hashes by model."""

    by_workload: Mapping[int, tuple[CellFile, ...]]
    artifacts: Mapping[str, set[str]]


def run_cells_on_benches(
    study: Study,
    store: Store,
    scheduler: Scheduler,
    *,
    bench_wait_s: float = WAIT_S,
    on_event: OnEvent,
    on_done: Callable[[CellOutcome], None] = lambda _: None,
) -> list[BoardResult]:
    """Have the missing cells of a study measured by benches; return a result for each device that had any.

    A result has the measurements of all its cells that were measured now, and the gravest error of the others.

    Raises:
        ConfigError: no bench offers a board of the study; the message says which are offered.
        ConnectionFailed, ConnectionLost: the scheduler can't be reached, or went away; what was measured is stored.
        EdgebenchError: a model can't be exported, or the store not be written.
        KeyboardInterrupt: the tasks were cancelled, and their boards given back.
    """
    with connect_benches(scheduler, on_event=on_event) as benches:
        offers = benches.offers()
        refuse_missing([device.name for device in study.devices], offers, scheduler=scheduler.dask_address)
        known = offered_boards(offers)
        placed = replace(
            study,
            devices=tuple(Device(name=each.name, profile=load_profile(known[each.name])) for each in study.devices),
        )
        tasks = missing_tasks(placed, store, on_event=on_event)
        return _measured(benches, tasks, store, bench_wait_s, on_done)


def _measured(
    benches: BenchClient,
    tasks: Sequence[CellTask],
    store: Store,
    bench_wait_s: float,
    on_done: Callable[[CellOutcome], None],
) -> list[BoardResult]:
    if not tasks:
        return []
    devices = len({task.device for task in tasks})
    benches.on_event(LogMessage(f"{counted(len(tasks), 'cell')} to measure on {counted(devices, 'board')}"))
    outcomes = benches.run_cells(tasks, bench_wait_s=bench_wait_s, on_done=on_done)
    results: dict[str, BoardResult] = {}
    for each in outcomes:
        result = results.setdefault(each.task.device, BoardResult(device=each.task.device))
        if each.error is not None:
            result.error = result.error or each.error
        elif each.result is not None:
            result.session = each.result.session
            result.measurements += store.measurements(session=each.result.session)
    for result in results.values():
        result.ended.set()
    return list(results.values())


def missing_tasks(study: Study, store: Store, *, on_event: OnEvent) -> list[CellTask]:
    """Return a task for each cell that is missing, in the order of the study's devices and workloads.

    Models are exported first, once for each format, and their files kept in the store.

    Raises:
        EdgebenchError: a model can't be exported, or the store not be written.
    """
    store.check_writable()
    rows: dict[tuple[Format, ...], _Rows] = {}
    by_formats: dict[tuple[Format, ...], list[Device]] = {}
    for device in study.devices:
        by_formats.setdefault(study.formats or (device.profile.default_format,), []).append(device)
    missing: set[tuple[str, int]] = set()
    for formats, devices in by_formats.items():
        rows[formats] = _rows(study, devices[0], store, on_event)
        cells = study_cells(replace(study, devices=tuple(devices)), store, artifacts=rows[formats].artifacts)
        for at, cell in enumerate(cells):
            if not cell.done:
                missing.add((cell.device.name, at % len(study.workloads)))
    begun, location, topic = _begun_sessions(store), location_of(store), f"edgebench-{secrets.token_hex(6)}"
    tasks = []
    for device in study.devices:
        files = rows[study.formats or (device.profile.default_format,)].by_workload
        for at, workload in enumerate(study.workloads):
            if (device.name, at) in missing:
                tasks.append(_task(study, device, workload, files[at], begun, location, topic))
    return tasks


def location_of(store: Store) -> str:
    """Return where a store is, as a bench opens it: an absolute path, or a URL."""
    location = str(getattr(store, "location", store.folder))
    return location if "://" in location else str(Path(location).absolute())


def _rows(study: Study, device: Device, store: Store, on_event: OnEvent) -> _Rows:
    prepared = prepare(session_request(study, device, study.workloads), on_event, ask_board=False)
    artifacts: dict[str, set[str]] = {}
    for row in prepared:
        artifacts.setdefault(row.variant.source, set()).add(row.artifact.sha256)
    unknown = [variant for variant in study.variants if variant.source not in artifacts]
    if unknown:
        raise ConfigError(f"{study.path}: {unknown[0].source} is not what a session names it")
    for row in {row.artifact.sha256: row for row in prepared}.values():
        keep_artifact(store, row.artifact, row.variant)
    count = len(study.workloads)
    return _Rows({at: tuple(map(_file, prepared[at::count])) for at in range(count)}, artifacts)


def _file(row: Prepared) -> CellFile:
    return CellFile(variant=row.variant, sha256=row.artifact.sha256)


def _task(
    study: Study,
    device: Device,
    workload: Workload,
    files: tuple[CellFile, ...],
    begun: Mapping[str, str],
    location: str,
    topic: str,
) -> CellTask:
    plain = plain_request(session_request(study, device, (workload,)))
    session = begun.get(_same(plain)) or f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    if plain["seed"] is None:
        plain["seed"] = secrets.randbelow(1 << 32)
    return CellTask(
        key=task_key(study=study.name, request=plain, files=files, store=location, workload=workload.label),
        study=study.name,
        workload=workload.label,
        topic=topic,
        store=location,
        session=session,
        request=plain,
        files=files,
    )


def _begun_sessions(store: Store) -> dict[str, str]:
    """Return the latest session of each stored request, by what makes a request the same."""
    found: dict[str, str] = {}
    for session in store.sessions():
        try:
            found[_same(store.read_session(session))] = session
        except EdgebenchError:
            continue
    return found


#: Fields in which the same session may differ from its request; of its device, only the name counts.
_MAY_DIFFER = ("seed", "wait_idle_s", "journal", "device")


def _same(values: Mapping[str, Any]) -> str:
    try:
        device = values["device"]["name"]
        rest = {name: value for name, value in values.items() if name not in _MAY_DIFFER}
        return json.dumps([device, rest], sort_keys=True)
    except (KeyError, TypeError) as error:
        raise StoreError("the stored session can't be read: it names no device") from error
