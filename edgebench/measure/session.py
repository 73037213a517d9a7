"""One session on one board: profile_all() measures models, resume() completes an interrupted session."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from edgebench.analysis import summarise
from edgebench.device import Device
from edgebench.events import OnEvent, ignore
from edgebench.measure.context import IsDecided, open_session
from edgebench.measure.deploy import deploy
from edgebench.measure.gain import measure_gain
from edgebench.measure.idle_wait import idle_wait_of
from edgebench.measure.preparation import Prepared, prepare
from edgebench.measure.probes.cold_start import measure_cold_start
from edgebench.measure.probes.idle import measure_idle_power
from edgebench.measure.probes.operator_profiling import profile_operators
from edgebench.measure.probes.overhead import with_overhead
from edgebench.measure.rate_confirmation import measure_at_confirmed_rates
from edgebench.measure.recorder import RunRecorder
from edgebench.measure.recovery import take_ended_runs
from edgebench.measure.scores import report_unused_scores, scores_for
from edgebench.measure.stored_devices import stored_request
from edgebench.measure.stored_runs import stored_runs
from edgebench.measurement import Measurement
from edgebench.request import Request
from edgebench.store import Store, open_store
from edgebench.xtreme_r import ScoreRow


def profile_all(
    request: Request,
    *,
    store: Store | str | Path | None = None,
    scores: Sequence[ScoreRow] = (),
    on_event: OnEvent = ignore,
    is_decided: IsDecided | None = None,
) -> list[Measurement]:
    """Measure every cell (model, format and workload) of a request in one session, with interleaved runs.

    Args:
        store: a Store or its folder; default: $EDGEBENCH_STORE, else `.edgebench` in the working folder.
        scores: XTREME-R scores to attach to the measurements, see `read_scores`.
        on_event: receives progress, see `edgebench.events`.
        is_decided: called with the measurements so far at each of several planned looks; True ends the session. None:
            it ends when every comparison with the first cell is decided.

    Returns:
        One Measurement for each cell, in the request's order; of a tuned session, then the board as found and the
        chosen setting, measured again.

    Raises:
        EdgebenchError: as `profile`; what was measured until then is in the store.
        KeyboardInterrupt: what was measured is in the store; `resume` completes the session.
    """
    id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    seeded = request if request.seed is not None else replace(request, seed=secrets.randbelow(1 << 32))
    return _measure_session(id, seeded, open_store(store), scores, on_event, is_resumed=False, is_decided=is_decided)


def resume(
    session: str,
    *,
    store: Store | str | Path | None = None,
    scores: Sequence[ScoreRow] = (),
    on_event: OnEvent = ignore,
    device: Device | None = None,
    host: str | None = None,
) -> list[Measurement]:
    """Complete an interrupted session: measure the runs that are missing.

    The board is the one of this name in edgebench.toml; nothing in the store decides which host is contacted, or what
    is started here.

    Args:
        session: the session's id, as `Began` and `Planned` report it.
        store, scores, on_event: as for `profile_all`.
        device: the board, instead of the one of that name.
        host: [user@]host[:port] of a board that edgebench.toml does not name.

    Returns:
        One Measurement for each cell, in the request's order, with the runs from before and the new ones.

    Raises:
        StoreError: the store has no such session, or the model, the board or edgebench changed since it began.
        ConfigError: no edgebench.toml names the board.
        EdgebenchError, KeyboardInterrupt: as `profile_all`.
    """
    keep = open_store(store)
    request = stored_request(keep, session, on_event, device=device, host=host)
    return _measure_session(session, request, keep, scores, on_event, is_resumed=True)


def run_session(
    id: str,
    request: Request,
    *,
    store: Store,
    prepared: Sequence[Prepared],
    on_event: OnEvent = ignore,
) -> list[Measurement]:
    """Carry out the session of this id with files that are prepared already; complete it if the store has it.

    So whoever chooses the id may call this again after a failure, and nothing is measured twice.

    Raises:
        StoreError, EdgebenchError, KeyboardInterrupt: as `resume`.
    """
    is_resumed = id in store.sessions()
    if is_resumed:
        request = stored_request(store, id, on_event, device=request.device)
    return _measure_session(id, request, store, (), on_event, is_resumed=is_resumed, prepared=prepared)


def _measure_session(
    id: str,
    request: Request,
    store: Store,
    scores: Sequence[ScoreRow],
    on_event: OnEvent,
    *,
    is_resumed: bool,
    is_decided: IsDecided | None = None,
    prepared: Sequence[Prepared] | None = None,
) -> list[Measurement]:
    started_s = time.monotonic()
    store.check_writable()
    if prepared is None:
        prepared = prepare(request, on_event)
    report_unused_scores(scores, [row.variant for row in prepared], on_event)
    with open_session(id, request, store, started_s=started_s, on_event=on_event, is_decided=is_decided) as session:
        cells = deploy(session, prepared)
        done = stored_runs(store, id, cells) if is_resumed else {}
        session.begin()
        idle_wait = idle_wait_of(session.agent, request.wait_idle_s, on_event, margin=request.margin)
        if idle_wait is not None:
            idle_wait.require()
        idle = measure_idle_power(session, cells)
        cells = with_overhead(session, cells)
        if is_resumed and take_ended_runs(session, cells, idle):
            done = stored_runs(store, id, cells)
        recorder = RunRecorder(session, idle, done, idle_wait)
        cells, errors = measure_at_confirmed_rates(recorder, cells)
        again = measure_gain(recorder, cells) if request.tune else []
        for cell in cells:
            if cell.workload.latency_bound_ms is not None and cell.workload.queries_per_s is None:
                continue  # the budget ended the search of its rate
            session.power.apply(cell.power)
            measure_cold_start(session, cell)
            profile_operators(session, cell, recorder.runs_of(cell))
    for error in errors:
        raise error
    measurements = (
        summarise(cell.subject, recorder.runs_of(cell), scores=scores_for(cell.subject, scores))
        for cell in (*sorted(cells, key=lambda cell: cell.subject.id), *again)
    )
    return [store.complete(measurement) for measurement in measurements]
