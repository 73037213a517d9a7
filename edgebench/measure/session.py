"""One session on one board: profile() and profile_all() measure models, resume() completes an interrupted session."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from edgebench.analysis import summarise
from edgebench.artifact import Format, parse_format
from edgebench.device import Device, find_device
from edgebench.events import OnEvent, ignore
from edgebench.measure.context import IsDecided, open_session
from edgebench.measure.deploy import deploy
from edgebench.measure.gain import measure_gain
from edgebench.measure.preparation import prepare
from edgebench.measure.probes.cold_start import measure_cold_start
from edgebench.measure.probes.idle import measure_idle_power
from edgebench.measure.probes.operator_profiling import profile_operators
from edgebench.measure.probes.overhead import with_overhead
from edgebench.measure.rate_confirmation import measure_at_confirmed_rates
from edgebench.measure.recorder import RunRecorder
from edgebench.measure.scores import report_unused_scores, scores_for
from edgebench.measure.stored_runs import stored_runs
from edgebench.measurement import Measurement
from edgebench.request import DEFAULT_MODEL, Request, request_from_json
from edgebench.store import Store
from edgebench.workload import RunPlan, Workload
from edgebench.xtreme_r import ScoreRow, read_scores


def profile(
    model: str | Path = DEFAULT_MODEL,
    *,
    device: str | Device = "local",
    format: str | Format | None = None,
    workload: Workload | None = None,
    plan: RunPlan | None = None,
    store: Store | str | Path = ".edgebench",
    scores: str | Path | None = None,
    runtime: str | None = None,
    operators: bool = False,
    overhead: bool = True,
    cold: bool = True,
    accept_parity: bool = False,
    on_event: OnEvent = ignore,
) -> Measurement:
    """Measure one model on one device; return the Measurement, which is also in the store.

    Args:
        model: a Hugging Face folder or hub id, an .onnx or .tflite file, or `reference:tiny|minilm|base|large`.
        device: a name from edgebench.toml, `local`, or a Device.
        format: default: the device profile's.
        workload: scenario, inputs, batch and threads; default: single-stream, one input of 128 tokens.
        plan: number of runs, and inferences and seconds of each; default: six runs of at least 100 inferences and 2 s.
        store: a Store, or its folder.
        scores: a file of XTREME-R scores (CSV or JSON lines) to attach to the measurement.
        runtime: of .tflite files: `ai-edge-litert` or `tflite-runtime`; default: whichever the board has.
        operators: also profile the model's operators, in an extra run that does not count.
        overhead: first measure the overhead of edgebench itself on the board, for some seconds.
        cold: also start the model once with its files out of the board's page cache.
        accept_parity: as for `edgebench.export_model`.
        on_event: receives progress, see `edgebench.events`.

    Returns:
        The measurement. One that is not valid is returned, too: `valid` is False and `reasons` says why.

    Raises:
        UsageError: the arguments contradict each other, or name something unknown.
        ExportError: the checkpoint can't be exported.
        DeviceError: the board can't be reached, is busy, or can't run the model.
        StoreError: the store can't be written.
    """
    request = Request(
        device=find_device(device) if isinstance(device, str) else device,
        models=(str(model),),
        formats=(parse_format(str(format)),) if format is not None else (),
        workloads=(workload or Workload(),),
        plan=plan or RunPlan(),
        runtime=runtime,
        operators=operators,
        overhead=overhead,
        cold=cold,
        accept_parity=accept_parity,
    )
    rows = read_scores(Path(scores)) if scores is not None else []
    target = store if isinstance(store, Store) else Store(store)
    (measurement,) = profile_all(request, store=target, scores=rows, on_event=on_event)
    return measurement


def profile_all(
    request: Request,
    *,
    store: Store,
    scores: Sequence[ScoreRow] = (),
    on_event: OnEvent = ignore,
    is_decided: IsDecided | None = None,
) -> list[Measurement]:
    """Measure every cell (model, format and workload) of a request in one session, with interleaved runs.

    Args:
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
    return _measure_session(id, seeded, store, scores, on_event, is_resumed=False, is_decided=is_decided)


def resume(
    session: str, *, store: Store, scores: Sequence[ScoreRow] = (), on_event: OnEvent = ignore
) -> list[Measurement]:
    """Complete an interrupted session: measure the runs that are missing.

    Args:
        session: the session's id, as `Began` and `Planned` report it.
        scores, on_event: as for `profile_all`.

    Returns:
        One Measurement for each cell, in the request's order, with the runs from before and the new ones.

    Raises:
        StoreError: the store has no such session, or the model, the board or edgebench changed since it began.
        EdgebenchError, KeyboardInterrupt: as `profile_all`.
    """
    request = request_from_json(store.read_session(session))
    return _measure_session(session, request, store, scores, on_event, is_resumed=True)


def _measure_session(
    id: str,
    request: Request,
    store: Store,
    scores: Sequence[ScoreRow],
    on_event: OnEvent,
    *,
    is_resumed: bool,
    is_decided: IsDecided | None = None,
) -> list[Measurement]:
    started_s = time.monotonic()
    store.check_writable()
    prepared = prepare(request, on_event)
    report_unused_scores(scores, [row.variant for row in prepared], on_event)
    with open_session(id, request, store, started_s=started_s, on_event=on_event, is_decided=is_decided) as session:
        cells = deploy(session, prepared)
        done = stored_runs(store, id, cells) if is_resumed else {}
        session.begin()
        idle = measure_idle_power(session, cells)
        cells = with_overhead(session, cells)
        recorder = RunRecorder(session, idle, done)
        cells, errors = measure_at_confirmed_rates(recorder, cells)
        again = measure_gain(recorder, cells) if request.tune else []
        for cell in cells:
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
