"""Carrying out a study: the sessions that measure what of it is missing, all variants of a device interleaved.

A workload of which anything is missing is measured as a whole: only what one session has measured is compared with the
board's drift in the model. So a variant that is added later is measured beside all others again.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from edgebench.device import Device
from edgebench.errors import ConfigError, StoreError
from edgebench.events import LogMessage, OnEvent
from edgebench.measure.parallel import Measure
from edgebench.measure.prepare import prepare
from edgebench.measure.session import profile_all, resume
from edgebench.measurement import Measurement
from edgebench.request import Request, request_from_json
from edgebench.store.store import Store
from edgebench.study.cells import study_cells
from edgebench.study.file import Study
from edgebench.workload import Workload


def missing_sessions(study: Study, store: Store, *, on_event: OnEvent) -> dict[str, Measure]:
    """Return the sessions that measure what is missing, one a device; exports the models to see what they are now.

    Raises:
        EdgebenchError: a model can't be exported, or the store not be read.
    """
    sessions: dict[str, Measure] = {}
    for device in study.devices:
        prepared = prepare(_request(study, device, study.workloads), on_event)
        artifacts: dict[str, set[str]] = {}
        for row in prepared:
            artifacts.setdefault(row.variant.source, set()).add(row.artifact.sha256)
        unknown = [variant for variant in study.variants if variant.source not in artifacts]
        if unknown:
            raise ConfigError(f"{study.path}: {unknown[0].source} is not what a session names it")
        only = replace(study, devices=(device,))
        missing = tuple(part.workload for part in study_cells(only, store, artifacts=artifacts) if not part.done)
        if missing:
            sessions[device.name] = partial(_measure, _request(study, device, missing), store)
    return sessions


def _request(study: Study, device: Device, workloads: tuple[Workload, ...]) -> Request:
    return Request(
        device=device,
        models=tuple(variant.source for variant in study.variants),
        formats=study.formats,
        workloads=workloads,
        plan=study.plan,
        seed=study.seed,
        margin=study.margin,
        overhead=study.overhead,
        cold=study.cold,
        alternate=study.alternate,
    )


def _measure(request: Request, store: Store, *, on_event: OnEvent) -> list[Measurement]:
    """Go on with the latest session that was asked the same, where there is one; else begin one."""
    for session in reversed(store.sessions()):
        if _asked(store, session) == replace(request, seed=None):
            on_event(LogMessage(f"going on with session {session}"))
            try:
                return resume(session, store=store, on_event=on_event)
            except StoreError as error:
                on_event(LogMessage(f"{error}: beginning anew"))
                break
    return profile_all(request, store=store, on_event=on_event)


def _asked(store: Store, session: str) -> Request | None:
    try:
        return replace(request_from_json(store.read_session(session)), seed=None)
    except (StoreError, ConfigError):
        return None
