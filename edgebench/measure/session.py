"""profile(): the whole story, from models and a device to stored Measurements."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgebench.analysis.comparison import compare_rows
from edgebench.analysis.summary import summarise
from edgebench.analysis.validity import validate_group
from edgebench.artifact import Format, parse_format
from edgebench.board.agent import RemoteAgent
from edgebench.board.lease import open_leased_agent
from edgebench.board.power import BoardPower, PowerState, managed_power
from edgebench.board.preflight import push_artifact, runtime_of
from edgebench.device import Device, find_device
from edgebench.errors import RunFailed
from edgebench.events import Began, Ended, LogMessage, OnEvent, Planned, Running, ignore
from edgebench.export import cache_folder
from edgebench.export.tflite_runtimes import tflite_runtime_python
from edgebench.figures import Score
from edgebench.measure.alternation import rotation_order, rows_of, tag_alternating, with_ratios
from edgebench.measure.budget import (
    SUSTAINED_COST,
    Cost,
    Timetable,
    describe_budget,
    fit_into,
    pilot_plan,
    shared_cost_of,
)
from edgebench.measure.collect import RunCollector
from edgebench.measure.cooling import CoolDown
from edgebench.measure.prepare import Prepared, prepare
from edgebench.measure.probes.cold_start import start_cold_and_keep
from edgebench.measure.probes.idle import measure_idle
from edgebench.measure.probes.operator_profiling import has_fallen_back, profile_and_keep
from edgebench.measure.probes.overhead import cost_of_session
from edgebench.measure.probes.rate_finder import RateFinders, plan_at
from edgebench.measure.resume import stored_runs
from edgebench.measure.runs import Cell, RunEnded, measure_runs
from edgebench.measure.scheduler import RunScheduler
from edgebench.measure.sweep import Condition, conditions_of, settings_of
from edgebench.measurement import Measurement, Subject
from edgebench.request import DEFAULT_MODEL, Request, request_from_json, request_to_json
from edgebench.run import Run
from edgebench.store.store import Store
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
    cold: bool = True,
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
        cold: also start once with the model's files out of the board's memory.

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
        cold=cold,
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
    return _Session(drawn, session, store, on_event).carry_out(scores, resumed=False)


def resume(
    session: str, *, store: Store, scores: Sequence[ScoreRow] = (), on_event: OnEvent = ignore
) -> list[Measurement]:
    """Go on with an interrupted session: measure the runs that are missing.

    Raises:
        StoreError: the store has no such session, or the model, the board or edgebench are no longer what they were.
    """
    request = request_from_json(store.read_session(session))
    return _Session(request, session, store, on_event).carry_out(scores, resumed=True)


class _Session:
    """One session: what is asked of one board, and what was measured there so far.

    `done`: the runs of each subject, by its id. `idle`: what is kept with every run in a state of the board's power.
    """

    def __init__(self, request: Request, id: str, store: Store, on_event: OnEvent) -> None:
        self._request = request
        self._id = id
        self._store = store
        self._on_event = on_event
        self._began_s = time.monotonic()
        self._power: BoardPower
        self._done: dict[str, list[Run]] = {}
        self._idle: dict[PowerState, Mapping[str, Any]] = {}

    def carry_out(self, scores: Sequence[ScoreRow], *, resumed: bool) -> list[Measurement]:
        """Measure what is asked and not done yet; return one Measurement a row, in the request's order."""
        request, store = self._request, self._store
        store.check_writable()
        with _PREPARING:
            prepared = prepare(request, self._on_event)
        _note_unused(scores, [row.variant for row in prepared], self._on_event)
        with (
            open_leased_agent(
                request.device,
                purpose=f"profile, session {self._id}",
                python=_agent_python(request, self._on_event),
                wait_s=request.wait_s,
                on_event=self._on_event,
            ) as agent,
            managed_power(agent, is_wanted="power" in request.tune, on_event=self._on_event) as self._power,
        ):
            cells = self._ready(agent, prepared)
            self._done = stored_runs(store, self._id, cells) if resumed else {}
            store.write_session(self._id, request_to_json(request))
            self._on_event(Began(self._id))  # from here on there is something to resume
            self._measure_idle(agent, cells)
            cost = cost_of_session(agent, request, self._id, store, self._on_event)
            cells = [replace(cell, subject=replace(cell.subject, overhead_us=cost)) for cell in cells]
            rates = RateFinders(agent, cells, request, store, self._watching, self._on_event)
            cells = self._measure_at_rates(agent, cells, rates)
            for cell in cells:
                self._power.apply(cell.power)
                if request.cold:
                    start_cold_and_keep(agent, cell, request, store, self._on_event)
                if request.operators or has_fallen_back(self._done[cell.subject.id]):
                    profile_and_keep(agent, cell, request, store, self._on_event)
        for error in rates.errors:
            raise error
        measured = (
            summarise(cell.subject, self._done[cell.subject.id], scores=_scores_for(cell.subject, scores))
            for cell in sorted(cells, key=lambda cell: cell.subject.id)
        )
        return [store.complete(each) for each in measured]

    def _ready(self, agent: RemoteAgent, prepared: Sequence[Prepared]) -> list[Cell]:
        """Make sure that the board can do it, and bring there what it needs; return the rows of the table to come."""
        request = self._request
        artifacts = list({row.artifact.sha256: row.artifact for row in prepared}.values())
        conditions = conditions_of(agent, self._power, request, artifacts, self._on_event)
        cells = tag_alternating(_cells(prepared, request, self._id, conditions), request)
        for artifact in artifacts:
            push_artifact(agent, artifact, self._on_event)
        for cell in cells:
            agent.push_bytes(cell.inputs.to_bytes())
        return cells

    def _measure_idle(self, agent: RemoteAgent, cells: Sequence[Cell]) -> None:
        """Measure what the board takes when idle in each state of its power; as it was found last."""
        for cell in sorted(cells, key=lambda cell: cell.power == cells[0].power):
            if cell.power not in self._idle:
                self._power.apply(cell.power)
                self._idle[cell.power] = measure_idle(agent, cell, self._request, self._on_event)

    def _measure_at_rates(self, agent: RemoteAgent, cells: Sequence[Cell], rates: RateFinders) -> list[Cell]:
        """Measure the cells; those whose rate is searched, at ever lower ones until their runs confirm it.

        Returns the cells that were measured, each at its rate.
        """
        measured: list[Cell] = []
        left = rates.found(cells)
        while left:
            left = self._measure(agent, left)
            unconfirmed = rates.unconfirmed(left, self._done)
            again = {cell.subject.id for cell in unconfirmed}
            measured += [cell for cell in left if cell.subject.id not in again]
            left = rates.found(unconfirmed)
        return measured

    def _measure(self, agent: RemoteAgent, cells: Sequence[Cell]) -> list[Cell]:
        """Measure the planned runs of these cells, interleaved, as far as they are not done; return them as planned."""
        self._done = {cell.subject.id: [] for cell in cells} | self._done
        costs = self._pilots(agent, rows_of(cells, self._request))
        cells = self._planned(cells, costs)
        request = self._request
        rows = rows_of(cells, request)
        deadline_s = self._began_s + request.budget_s if request.budget_s is not None else None
        timetable = Timetable(request.plan, costs, deadline_s)
        first, last = (self._left(rows, runs) for runs in (request.looks[0], request.looks[-1]))
        subjects = tuple(cell.subject for cell in cells)
        runs = sum(count * len(row) for count, row in zip(last, rows, strict=True))
        self._on_event(Planned(self._id, subjects, runs, timetable.left_s(first), timetable.left_s(last)))
        cool_down = _cool_down(agent, request, self._on_event)

        def measure(index: int) -> None:
            spare_s = timetable.spare_s(self._left(rows, request.looks[0]))
            began = time.monotonic()
            cooled = cool_down.wait(at_most_s=spare_s)
            measured = self._measure_and_keep(agent, rows[index], cooled)
            timetable.ended(index, time.monotonic() - began)
            next_look = next((left for look in request.looks if any(left := self._left(rows, look))), [])
            for cell, run in zip(rows[index], measured, strict=True):
                self._on_event(Ended(cell.subject, run, timetable.left_s(next_look)))

        def has_time(index: int) -> bool:
            """Say whether one more run of a row has room, beside what the first look still needs of the others."""
            left = self._left(rows, request.looks[0])
            left[index] = 0
            spare_s = timetable.spare_s(left)
            return spare_s is None or spare_s >= (timetable.run_s(index) or 0.0)

        RunScheduler(
            subjects=tuple(row[0].subject for row in rows),
            done=self._done,
            looks=request.looks,
            repeats=request.plan.sustained_min is None,
            seed=request.seed or 0,
            measure=measure,
            is_decided=lambda: self._is_decided(cells),
            has_time=has_time,
            on_event=self._on_event,
        ).run()
        return list(cells)

    def _pilots(self, agent: RemoteAgent, rows: Sequence[Sequence[Cell]]) -> list[Cost | None]:
        """Return what a run costs of each row that has some left to be made; of a sustained one its minutes tell."""
        left = self._left(rows, self._request.looks[-1])
        if self._request.plan.sustained_min is not None:
            return [SUSTAINED_COST for _ in rows]
        if any(left):
            self._on_event(LogMessage("timing a short run of each row, which does not count"))
        return [self._pilot(agent, row) if runs else None for row, runs in zip(rows, left, strict=True)]

    def _pilot(self, agent: RemoteAgent, row: Sequence[Cell]) -> Cost | None:
        """Make a short run that does not count; return what it says of the time of others, None where it failed.

        What is wrong with it will be wrong with the first run that counts, which tells.
        """
        self._power.apply(row[0].power)
        began = time.monotonic()
        try:
            runs = measure_runs(
                agent,
                row,
                self._request,
                pilot_plan(self._request.plan),
                run_ids=[f"{cell.subject.id}-pilot-{secrets.token_hex(2)}" for cell in row],
                watch=lambda _: None,
            )
        except RunEnded as ended:
            if isinstance(ended.why, RunFailed):
                return None
            raise ended.why from ended
        return shared_cost_of(runs, time.monotonic() - began)

    def _planned(self, cells: Sequence[Cell], costs: Sequence[Cost | None]) -> list[Cell]:
        """Fit the request into its budget, unless there are runs that were planned already; return the cells so."""
        if self._request.budget_s is not None and not any(self._done.values()):
            asked = self._request
            self._request = fit_into(asked, costs, spent_s=time.monotonic() - self._began_s)
            if any(costs):
                self._on_event(LogMessage(describe_budget(asked, self._request, costs)))
            self._store.write_session(self._id, request_to_json(self._request))
        looks = self._request.looks
        return [replace(cell, subject=replace(cell.subject, planned_runs=looks[0], looks=len(looks))) for cell in cells]

    def _left(self, rows: Sequence[Sequence[Cell]], runs: int) -> list[int]:
        """Return how many runs of each row are still to be made up to a look."""
        return [max(0, runs - sum(run.valid for run in self._done[row[0].subject.id])) for row in rows]

    def _measure_and_keep(self, agent: RemoteAgent, row: Sequence[Cell], cooled: Mapping[str, Any]) -> list[Run]:
        """Measure a run of each of the row's cells, which alternate where it has several; return them in its order."""
        self._power.apply(row[0].power)
        plan = plan_at(row[0], self._request.plan)
        done = self._done[row[0].subject.id]
        number = len(done) + 1
        order = rotation_order(row, sum(run.valid for run in done))
        try:
            runs = measure_runs(
                agent,
                order,
                self._request,
                plan,
                run_ids=[f"{cell.subject.id}-{number:03d}-{secrets.token_hex(2)}" for cell in order],
                watch=self._watching(order[0], number),
            )
        except RunEnded as ended:
            self._store.add_runs([(cell.subject, run) for cell, run in zip(order, ended.runs, strict=True)])
            raise ended.why from ended
        idle = self._idle[row[0].power]
        judged = validate_group([replace(run, facts=run.facts.adding({**idle, **cooled})) for run in runs], plan)
        found = dict(zip((cell.subject.id for cell in order), with_ratios(judged), strict=True))
        self._store.add_runs([(cell.subject, found[cell.subject.id]) for cell in row])
        for cell in row:
            self._done[cell.subject.id].append(found[cell.subject.id])
        return [found[cell.subject.id] for cell in row]

    def _is_decided(self, cells: Sequence[Cell]) -> bool:
        """Whether nothing is left inconclusive between the first row of each workload and the others."""
        measured = [summarise(cell.subject, self._done[cell.subject.id]) for cell in cells]
        compared = compare_rows(measured, margin=self._request.margin)
        for comparison in compared:
            self._on_event(LogMessage(comparison.verdict))
        return all(comparison.latency.verdict != "inconclusive" for comparison in compared)

    def _watching(self, cell: Cell, number: int) -> Callable[[RunCollector], None]:
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
            self._on_event(
                Running(
                    cell.subject,
                    number,
                    self._request.looks[-1],
                    collector.phase,
                    collector.count,
                    recent[len(recent) // 2] if recent else None,
                    max(hottest, default=None),
                    collector.timed_s / 60 if self._request.plan.sustained_min is not None else None,
                )
            )

        return tell


def _agent_python(request: Request, on_event: OnEvent) -> str:
    """Return the Python that runs the agent: the device's; on this machine tflite-runtime has one of its own."""
    if not request.device.is_local or request.runtime != "tflite-runtime":
        return request.device.python
    return str(tflite_runtime_python(cache=cache_folder(), on_progress=lambda text: on_event(LogMessage(text))))


def _cells(prepared: Sequence[Prepared], request: Request, session: str, conditions: Sequence[Condition]) -> list[Cell]:
    cells = []
    minutes = request.plan.sustained_min
    rows = [
        (row, condition, setting)
        for row in prepared
        for condition in conditions
        for setting in settings_of(row.workload, request, condition)
    ]
    for number, (row, condition, workload) in enumerate(rows):
        subject = Subject(
            id=f"{session}-{number:03d}",
            session=session,
            variant=row.variant,
            artifact=row.artifact,
            device=condition.facts[runtime_of(row.artifact, request.runtime)],
            workload=workload.to_json() | _kind(request.plan),
            label=workload.label + (f" {minutes:g} min" if minutes is not None else ""),
            planned_runs=request.looks[0],
            looks=len(request.looks),
            seed=request.seed,
        )
        cells.append(Cell(subject, workload, row.inputs, condition.power))
    return cells


def _kind(plan: RunPlan) -> dict[str, Any]:
    """Return what a workload says of a plan that makes another kind of result of it."""
    return {"sustained_min": plan.sustained_min} if plan.sustained_min is not None else {}


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


def _note_unused(rows: Sequence[ScoreRow], variants: Sequence[Variant], on_event: OnEvent) -> None:
    scored = {row.variant for row in rows}
    for name in sorted(scored - {variant.name for variant in variants}):
        on_event(LogMessage(f"scores of {name!r} are not used: no model has that name"))
    for name in sorted(scored & {variant.name for variant in variants if variant.is_reference}):
        on_event(LogMessage(f"scores of {name!r} are not used: its weights are random"))


def _scores_for(subject: Subject, rows: Sequence[ScoreRow]) -> list[Score]:
    if subject.variant.is_reference:
        return []  # random weights have no quality
    return scores_of(
        rows,
        variant=subject.variant.name,
        format=str(subject.artifact.format),
        artifact_sha256=subject.artifact.sha256,
    )
