"""profile(): the whole story, from models and a device to stored Measurements."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgebench.artifact import Format, parse_format
from edgebench.collect import RunCollector
from edgebench.comparison import compare_rows
from edgebench.cooling import CoolDown
from edgebench.course import Course
from edgebench.device import Device, find_device
from edgebench.environments import tflite_runtime_python
from edgebench.errors import RunFailed, StoreError
from edgebench.events import Ended, Noted, OnEvent, Planned, Running, ignore
from edgebench.export import cache_folder
from edgebench.idle import measure_idle
from edgebench.lease import agent_of
from edgebench.measurement import Measurement, Run, Score, Subject
from edgebench.measuring import INTERRUPTED, Cell, RunEnded, measure_patiently
from edgebench.operator_profiling import has_fallen_back, profile_and_keep
from edgebench.own_cost import cost_of_session
from edgebench.planning import RunCost, Timetable, cost_of, fit_into, pilot_plan, what_budget_costs
from edgebench.preflight import preflight, push_artifact, runtime_of
from edgebench.preparing import Prepared, prepare
from edgebench.remote_agent import RemoteAgent, agent_archive
from edgebench.request import DEFAULT_MODEL, Request, request_from_json, request_to_json
from edgebench.store import Store
from edgebench.summary import summarise
from edgebench.validity import judged
from edgebench.variant import Variant
from edgebench.workload import RunPlan, Workload
from edgebench.xtreme_r.scores import ScoreRow, read_scores, scores_of

_PROGRESS_EVERY_S = 0.2
#: Sessions of several boards prepare one after the other: the second finds in the cache what the first exported.
_PREPARING = threading.Lock()


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
    own_cost: bool = True,
    on_event: OnEvent = ignore,
) -> Measurement:
    """Measure one model on one device and return the Measurement, which is then also in the store.

    Args:
        model: a Hugging Face folder or hub id, an .onnx or .tflite file, or `reference:tiny|minilm|base|large`.
        device: a name from edgebench.toml, `local`, or a Device.
        format: default: the device profile's.
        scores: a file of XTREME-R scores to put beside the figures.
        runtime: of .tflite files: `ai-edge-litert` or `tflite-runtime`; default: whichever the board has.
        operators: also profile the model's operators, in an extra run that doesn't count.
        own_cost: first measure, in some seconds, what edgebench itself costs on the board.

    Raises:
        EdgebenchError: see edgebench.errors; a measurement that isn't valid is returned, with its reasons.
    """
    request = Request(
        device=find_device(device) if isinstance(device, str) else device,
        models=(str(model),),
        formats=(parse_format(str(format)),) if format is not None else (),
        workloads=(workload or Workload(),),
        plan=plan or RunPlan(),
        runtime=runtime,
        operators=operators,
        own_cost=own_cost,
    )
    rows = read_scores(Path(scores)) if scores is not None else []
    keep = store if isinstance(store, Store) else Store(store)
    (measurement,) = profile_all(request, store=keep, scores=rows, on_event=on_event)
    return measurement


def profile_all(
    request: Request, *, store: Store, scores: Sequence[ScoreRow] = (), on_event: OnEvent = ignore
) -> list[Measurement]:
    """Measure every cell of a request, interleaved; return one Measurement a cell, in the request's order.

    Raises:
        KeyboardInterrupt: what was measured is in the store; `resume` goes on with it.
    """
    session = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    drawn = request if request.seed is not None else replace(request, seed=secrets.randbelow(1 << 32))
    return _carry_out(drawn, session, resumed=False, store=store, scores=scores, on_event=on_event)


def resume(
    session: str, *, store: Store, scores: Sequence[ScoreRow] = (), on_event: OnEvent = ignore
) -> list[Measurement]:
    """Go on with an interrupted session: measure the runs that are missing.

    Raises:
        StoreError: the store has no such session, or the model, the board or edgebench are no longer what they were.
    """
    request = request_from_json(store.read_session(session))
    return _carry_out(request, session, resumed=True, store=store, scores=scores, on_event=on_event)


def _carry_out(
    request: Request,
    session: str,
    *,
    resumed: bool,
    store: Store,
    scores: Sequence[ScoreRow],
    on_event: OnEvent,
) -> list[Measurement]:
    began_s = time.monotonic()
    store.check_writable()
    with _PREPARING:
        prepared = prepare(request, on_event)
    _note_unused(scores, [row.variant for row in prepared], on_event)
    artifacts = list({row.artifact.sha256: row.artifact for row in prepared}.values())
    python = _agent_python(request, on_event)
    purpose = f"profile, session {session}"
    with agent_of(request.device, purpose=purpose, python=python, wait_s=request.wait_s, on_event=on_event) as agent:
        facts = preflight(agent, request.device, artifacts, on_event, runtime=request.runtime)
        cells = _cells(prepared, request, session, facts)
        done = _stored_runs(store, session, cells) if resumed else {cell.subject.id: [] for cell in cells}
        for artifact in artifacts:
            push_artifact(agent, artifact, on_event)
        for cell in cells:
            agent.push_bytes(cell.inputs.to_bytes())
        idle = measure_idle(agent, cells[0], request, on_event)
        cost = cost_of_session(agent, request, session, store, on_event)
        cells = [replace(cell, subject=replace(cell.subject, overhead_us=cost)) for cell in cells]
        costs = _pilots(agent, cells, _left(cells, done, request.looks[-1]), request, on_event)
        if not resumed:
            request = _within_budget(request, costs, time.monotonic() - began_s, on_event)
            cells = [_as_planned(cell, request) for cell in cells]
        store.write_session(session, request_to_json(request))  # from here on there is something to resume
        deadline_s = began_s + request.budget_s if request.budget_s is not None else None
        timetable = Timetable(request.plan, costs, deadline_s)
        cool_down = _cool_down(agent, request, on_event)
        on_event(_planned(session, cells, done, request, timetable))
        Course(
            subjects=[cell.subject for cell in cells],
            done=done,
            looks=request.looks,
            seed=request.seed or 0,
            measure=lambda index: _measure_and_keep(
                agent, index, cells, done, idle, request, store, timetable, cool_down, on_event
            ),
            is_decided=lambda: _is_decided(cells, done, request, on_event),
            has_time=lambda index: _has_time(index, cells, done, request, timetable),
            on_event=on_event,
        ).run()
        for cell in cells:
            if request.operators or has_fallen_back(done[cell.subject.id]):
                profile_and_keep(agent, cell, request, store, on_event)
    measured = (
        summarise(cell.subject, done[cell.subject.id], scores=_scores_for(cell.subject, scores)) for cell in cells
    )
    return [replace(each, operators=store.operators(each.id)) for each in measured]


def _agent_python(request: Request, on_event: OnEvent) -> str:
    """Return the Python that runs the agent: the device's; on this machine tflite-runtime has one of its own."""
    if not request.device.is_local or request.runtime != "tflite-runtime":
        return request.device.python
    return str(tflite_runtime_python(cache=cache_folder(), on_progress=lambda text: on_event(Noted(text))))


def _cells(
    prepared: Sequence[Prepared], request: Request, session: str, facts: Mapping[str, Mapping[str, Any]]
) -> list[Cell]:
    cells = []
    for number, row in enumerate(prepared):
        threads = row.workload.threads if row.workload.threads is not None else request.device.profile.threads or None
        workload = replace(row.workload, threads=threads)
        subject = Subject(
            id=f"{session}-{number:03d}",
            session=session,
            variant=row.variant,
            artifact=row.artifact,
            device=facts[runtime_of(row.artifact, request.runtime)],
            workload=workload.to_json(),
            label=workload.label,
            planned_runs=request.looks[0],
            looks=len(request.looks),
            seed=request.seed,
        )
        cells.append(Cell(subject, workload, row.inputs))
    return cells


#: What must not change between the runs of one Measurement.
_SAME_BOARD = ("model", "arch", "cpu", "cores", "memory_bytes", "os", "kernel", "python", "governor", "runtime_version")


def _stored_runs(store: Store, session: str, cells: Sequence[Cell]) -> dict[str, list[Run]]:
    """Return the runs that the store has of each cell.

    Raises:
        StoreError: they were measured under other conditions than hold now.
    """
    done: dict[str, list[Run]] = {cell.subject.id: [] for cell in cells}
    by_id = {cell.subject.id: cell for cell in cells}
    for stored in store.measurements(session=session):
        cell = by_id.get(stored.id)
        changed = "the request" if cell is None else _what_changed(cell, stored)
        if changed:
            raise StoreError(f"session {session} can't go on: {changed} changed since it began; start a new one")
        done[stored.id].extend(run for run in stored.runs if INTERRUPTED not in run.reasons)
    return done


def _what_changed(cell: Cell, stored: Measurement) -> str | None:
    now, then = cell.subject, stored.subject
    if now.artifact.sha256 != then.artifact.sha256:
        return "the model file"
    if dict(now.workload) != dict(then.workload):
        return "the workload"
    for name in _SAME_BOARD:
        if now.device.get(name) != then.device.get(name):
            return f"the board's {name}"
    inputs = hashlib.sha256(cell.inputs.to_bytes()).hexdigest()
    for run in stored.runs:
        if run.facts.get("inputs_sha256", inputs) != inputs:
            return "the inputs"
        if run.facts.get("agent_sha256") not in (None, agent_archive()[1]):
            return "edgebench itself"
    return None


def _is_decided(cells: Sequence[Cell], done: Mapping[str, Sequence[Run]], request: Request, on_event: OnEvent) -> bool:
    """Whether nothing is left inconclusive between the first row of each workload and the others."""
    measured = [summarise(cell.subject, done[cell.subject.id]) for cell in cells]
    compared = compare_rows(measured, margin=request.margin)
    for comparison in compared:
        on_event(Noted(comparison.verdict))
    return all(comparison.latency.verdict != "inconclusive" for comparison in compared)


def _pilots(
    agent: RemoteAgent, cells: Sequence[Cell], left: Sequence[int], request: Request, on_event: OnEvent
) -> list[RunCost | None]:
    """Return what a run costs of each row that has some left to be made."""
    if any(left):
        on_event(Noted("timing a short run of each row, which does not count"))
    return [_pilot(agent, cell, request, on_event) if runs else None for cell, runs in zip(cells, left, strict=True)]


def _pilot(agent: RemoteAgent, cell: Cell, request: Request, on_event: OnEvent) -> RunCost | None:
    """Make a short run that does not count; return what it says of the time of others, None where it failed.

    What is wrong with it will be wrong with the first run that counts, which tells.
    """
    short = replace(request, plan=pilot_plan(request.plan))
    began = time.monotonic()
    try:
        run_id = f"{cell.subject.id}-pilot-{secrets.token_hex(2)}"
        run = measure_patiently(agent, cell, short, run_id, lambda _: None, on_event)
    except RunEnded as ended:
        if isinstance(ended.why, RunFailed):
            return None
        raise ended.why from ended
    return cost_of(run, time.monotonic() - began)


def _within_budget(request: Request, costs: Sequence[RunCost | None], spent_s: float, on_event: OnEvent) -> Request:
    planned = fit_into(request, costs, spent_s=spent_s)
    if planned.budget_s is not None and any(costs):
        on_event(Noted(what_budget_costs(request, planned, costs)))
    return planned


def _as_planned(cell: Cell, request: Request) -> Cell:
    subject = replace(cell.subject, planned_runs=request.looks[0], looks=len(request.looks))
    return replace(cell, subject=subject)


def _cool_down(agent: RemoteAgent, request: Request, on_event: OnEvent) -> CoolDown:
    below, asked = request.device.profile.cool_below_c, request.cool_below_c

    def read() -> Mapping[str, int]:
        agent.keep_lease()  # to cool down may take longer than a lease lives without renewal
        return agent.temperatures()

    return CoolDown(
        read=read,
        below_mc=1000 * below if below is not None else None,
        asked_mc=round(1000 * asked) if asked is not None else None,
        most_s=request.cool_wait_s,
        on_event=on_event,
    )


def _left(cells: Sequence[Cell], done: Mapping[str, Sequence[Run]], runs: int) -> list[int]:
    """Return how many runs of each row are still to be made up to a look."""
    return [max(0, runs - sum(run.valid for run in done[cell.subject.id])) for cell in cells]


def _has_time(
    index: int,
    cells: Sequence[Cell],
    done: Mapping[str, Sequence[Run]],
    request: Request,
    timetable: Timetable,
) -> bool:
    """Whether the budget has room for one more run of a row, beside what the first look still needs of the others."""
    left = _left(cells, done, request.looks[0])
    left[index] = 0
    spare_s = timetable.spare_s(left)
    return spare_s is None or spare_s >= (timetable.run_s(index) or 0.0)


def _measure_and_keep(
    agent: RemoteAgent,
    index: int,
    cells: Sequence[Cell],
    done: dict[str, list[Run]],
    idle: Mapping[str, Any],
    request: Request,
    store: Store,
    timetable: Timetable,
    cool_down: CoolDown,
    on_event: OnEvent,
) -> None:
    cell = cells[index]
    runs = done[cell.subject.id]
    number = len(runs) + 1
    run_id = f"{cell.subject.id}-{number:03d}-{secrets.token_hex(2)}"
    watch = _running(cell, number, request.looks[-1], on_event)
    began = time.monotonic()
    cooled = cool_down.wait(at_most_s=timetable.spare_s(_left(cells, done, request.looks[0])))
    try:
        run = measure_patiently(agent, cell, request, run_id, watch, on_event)
    except RunEnded as ended:
        store.add_run(cell.subject, replace(ended.run, reasons=(ended.reason,)))
        raise ended.why from ended
    run = judged(replace(run, facts={**run.facts, **idle, **cooled}), request.plan)
    store.add_run(cell.subject, run)
    runs.append(run)
    timetable.ended(index, time.monotonic() - began)
    to_the_next_look = next((left for look in request.looks if any(left := _left(cells, done, look))), [])
    on_event(Ended(cell.subject, run, timetable.left_s(to_the_next_look)))


def _running(cell: Cell, number: int, runs: int, on_event: OnEvent) -> Callable[[RunCollector], None]:
    """Return a watcher that tells how a run goes on, a few times a second."""
    last = float("-inf")

    def tell(collector: RunCollector) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _PROGRESS_EVERY_S:
            return
        last = now
        recent = sorted(collector.recent_ns)
        hottest = [value for name, value in collector.last_reading.items() if name.startswith("temperature_mc/")]
        on_event(
            Running(
                cell.subject,
                number,
                runs,
                collector.phase,
                collector.count,
                recent[len(recent) // 2] if recent else None,
                max(hottest, default=None),
            )
        )

    return tell


def _planned(
    session: str,
    cells: Sequence[Cell],
    done: Mapping[str, Sequence[Run]],
    request: Request,
    timetable: Timetable,
) -> Planned:
    first, last = (_left(cells, done, runs) for runs in (request.looks[0], request.looks[-1]))
    return Planned(
        session,
        tuple(cell.subject for cell in cells),
        sum(last),
        timetable.left_s(first),
        timetable.left_s(last),
    )


def _note_unused(rows: Sequence[ScoreRow], variants: Sequence[Variant], on_event: OnEvent) -> None:
    scored = {row.variant for row in rows}
    for name in sorted(scored - {variant.name for variant in variants}):
        on_event(Noted(f"scores of {name!r} are not used: no model has that name"))
    for name in sorted(scored & {variant.name for variant in variants if variant.is_reference}):
        on_event(Noted(f"scores of {name!r} are not used: its weights are random"))


def _scores_for(subject: Subject, rows: Sequence[ScoreRow]) -> list[Score]:
    if subject.variant.is_reference:
        return []  # random weights have no quality
    return scores_of(
        rows,
        variant=subject.variant.name,
        format=str(subject.artifact.format),
        artifact_sha256=subject.artifact.sha256,
    )
