"""profile(): the whole story, from models and a device to stored Measurements."""

from __future__ import annotations

import hashlib
import secrets
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgebench.artifact import EXISTING_FORMATS, Artifact, Format, parse_format
from edgebench.collect import RunCollector
from edgebench.comparison import MUST_MATCH, compare_pairs, pairs_with_the_first
from edgebench.device import Device, find_device
from edgebench.environments import tflite_runtime_python
from edgebench.errors import (
    AgentError,
    BoardBusy,
    BoardError,
    ConfigError,
    EdgebenchError,
    RunFailed,
    StoreError,
    TooFewRuns,
    UnknownName,
)
from edgebench.events import Ended, Noted, OnEvent, Planned, Pushing, Running, ignore
from edgebench.export import cache_folder, export_model, longest_input, unique_names
from edgebench.inputs import encode, refuse_batch, settle
from edgebench.measurement import Measurement, Run, Score, Subject
from edgebench.operators import Operator, OperatorProfile
from edgebench.printable import printable
from edgebench.remote_agent import Position, RemoteAgent, agent_archive, failure
from edgebench.request import DEFAULT_MODEL, Request, request_from_json, request_to_json
from edgebench.schedule import order_of_runs
from edgebench.stats.verdicts import LOOKS
from edgebench.store import Store
from edgebench.summary import summarise
from edgebench.transport import open_transport
from edgebench.validity import reasons_against
from edgebench.variant import Variant
from edgebench.workload import EncodedInputs, RunPlan, Workload
from edgebench.xtreme_r.scores import ScoreRow, read_scores, scores_of
from edgebench_agent import protocol

#: Names of the agent for what runs .tflite files.
TFLITE_RUNTIMES = ("ai-edge-litert", "tflite-runtime")
LEASE_NS = 600 * 1_000_000_000  # a run that nobody renews ends after ten minutes
INTERRUPTED = "interrupted before its end"
_PROGRESS_EVERY_S = 0.2
_BUSY_WAIT_S = 600.0
_BUSY_POLL_S = 2.0
_BUSY = 200  # thousandths of a core that another process may use before it is worth a word


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of the table to come: what is measured, and with which inputs."""

    subject: Subject
    workload: Workload
    inputs: EncodedInputs


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
    store.check_writable()
    _refuse_contradiction(request)
    for model, format in _files(request):
        _refuse_misfits(model, format, request.workloads)
    choices = _common_choices(request)
    exported = _told_apart([_export(model, format, choices, on_event) for model, format in _files(request)])
    _note_detours(request.device, {artifact.format for _, artifact in exported}, on_event)
    settled = [(pair, settle(pair[1], work)) for pair in exported for work in request.workloads]
    encoded = [(pair, work, encode(pair[1], work)) for pair, work in settled]
    _note_unused(scores, [variant for variant, _ in exported], on_event)
    python = _agent_python(request, on_event)
    with open_transport(request.device) as transport:
        agent = RemoteAgent(transport, name=request.device.name, python=python)
        artifacts = [artifact for _, artifact in exported]
        facts = preflight(agent, request.device, artifacts, on_event, runtime=request.runtime)
        cells = _cells(encoded, request, session, facts)
        done = _stored_runs(store, session, cells) if resumed else {cell.subject.id: [] for cell in cells}
        for _, artifact in exported:
            push_artifact(agent, artifact, on_event)
        for cell in cells:
            agent.push_bytes(cell.inputs.to_bytes())
        store.write_session(session, request_to_json(request))  # from here on there is something to resume
        on_event(_planned(session, cells, done, request))
        _measure_cells(agent, cells, done, request, store, on_event)
        for cell in cells:
            if request.operators or has_fallen_back(done[cell.subject.id]):
                _profile_and_keep(agent, cell, request, store, on_event)
    measured = (
        summarise(cell.subject, done[cell.subject.id], scores=_scores_for(cell.subject, scores)) for cell in cells
    )
    return [replace(each, operators=store.operators(each.id)) for each in measured]


def preflight(
    agent: RemoteAgent,
    device: Device,
    artifacts: Sequence[Artifact],
    on_event: OnEvent = ignore,
    *,
    runtime: str | None = None,
) -> dict[str, Any]:
    """Install the agent and make sure that the board can run these artifacts; return its facts by runtime.

    `runtime`: what .tflite files are to run in; None: whichever the board has.

    Raises:
        BoardError: a runtime doesn't work there, or a model is larger than the memory that is free.
    """
    agent.install()
    runtimes = sorted({runtime_of(artifact, runtime) for artifact in artifacts})
    reply = agent.probe(runtimes)
    board: dict[str, Any] = reply["board"]
    for name in runtimes:
        found = reply["runtimes"][name]
        if not found["ok"]:
            raise BoardError(f"{device.name}: {name} does not work on the board: {found.get('error')}")
    for artifact in artifacts:
        _require_provider(device, artifact, reply["runtimes"][runtime_of(artifact, runtime)].get("providers"))
    busy = [f"{name} {used / 1000:.1f} cores" for name, used in agent.busy_processes(reply) or [] if used >= _BUSY]
    if busy:
        on_event(Noted(f"{device.name} is busy, which disturbs what is measured: {', '.join(busy)}"))
    available = board.get("memory_available_bytes")
    for artifact in artifacts:
        if type(available) is int and artifact.bytes > available:
            raise BoardError(
                f"{device.name}: the model is {artifact.bytes / 1e6:.0f} MB and the board has {available / 1e6:.0f} MB "
                f"of memory free; try a smaller format (--format onnx-int8) or free memory on the board"
            )
    return {
        name: {
            **board,  # first: a board does not name itself
            "name": device.name,
            "profile": device.profile.name,
            "runtime": name,
            "runtime_version": reply["runtimes"][name].get("version"),
        }
        for name in runtimes
    }


def runtime_of(artifact: Artifact, chosen: str | None) -> str:
    """Return the agent's name of the runtime for an artifact; `chosen` is what .tflite files are to run in."""
    return chosen if chosen is not None and artifact.format.runtime == "tflite" else artifact.format.runtime


def providers_for(device: Device, artifact: Artifact) -> list[str]:
    """Return the execution providers to ask for; empty: the CPU, the only one for TFLite and for dynamic int8."""
    on_cpu = artifact.format is Format.ONNX_INT8 or artifact.format.runtime == "tflite"
    return [] if on_cpu else list(device.profile.providers)


def _require_provider(device: Device, artifact: Artifact, has: Any) -> None:
    """Refuse before anything is measured what would run somewhere else than it should."""
    wanted = providers_for(device, artifact)
    if wanted and isinstance(has, list) and wanted[0] not in has:
        raise BoardError(
            f"{device.name}: the profile {device.profile.name} asks for {wanted[0]}, which the board's "
            f"{artifact.format.runtime} does not have (it has {', '.join(map(str, has))}); install a build with it "
            f"there, or measure on the CPU: --format onnx-int8, or the profile generic-linux"
        )


def push_artifact(agent: RemoteAgent, artifact: Artifact, on_event: OnEvent = ignore) -> None:
    """Bring an artifact's files to the board; nothing where it shares this machine's files."""
    if agent.transport.shares_files:
        return
    for file in artifact.files:
        agent.push(
            artifact.path / file.name,
            sha256=file.sha256,
            size=file.bytes,
            on_progress=lambda done, size, name=file.name: on_event(Pushing(name, done, size)),  # type: ignore[misc]
        )


def model_files(agent: RemoteAgent, artifact: Artifact) -> list[dict[str, Any]]:
    """Return an artifact's files as a run specification names them."""
    shared = agent.transport.shares_files
    return [
        asdict(
            protocol.ModelFile(file.name, file.sha256, str((artifact.path / file.name).absolute()) if shared else None)
        )
        for file in artifact.files
    ]


def _files(request: Request) -> Iterator[tuple[str, Format | None]]:
    """Yield each model with each format it is wanted in; None for a file, which is what it is."""
    for model in request.models:
        if Path(model).suffix in EXISTING_FORMATS:
            yield model, None
        else:
            for format in request.formats or (request.device.profile.default_format,):
                yield model, format


def _refuse_contradiction(request: Request) -> None:
    """Refuse a format that no model can have (a file is what it is), and a runtime that no file can have."""
    files = [model for model in request.models if Path(model).suffix in EXISTING_FORMATS]
    if request.formats and len(files) == len(request.models):
        raise ConfigError(f"{files[0]} is profiled as it is: leave the format ({', '.join(request.formats)}) out")
    if request.runtime is None:
        return
    if request.runtime not in TFLITE_RUNTIMES:
        raise UnknownName("runtime", request.runtime, TFLITE_RUNTIMES)
    for model, format in _files(request):
        if (format or EXISTING_FORMATS[Path(model).suffix]).runtime != "tflite":
            raise ConfigError(f"{request.runtime} does not run {format or model}; try --format tflite-int8")


def _refuse_misfits(model: str, format: Format | None, workloads: Sequence[Workload]) -> None:
    """Refuse inputs that the model or the format can't take before anything is exported or contacted."""
    longest = longest_input(model)
    for workload in workloads:
        if (format or EXISTING_FORMATS[Path(model).suffix]).runtime == "tflite":
            refuse_batch(str(format or model), workload)
        needed = max(workload.token_counts(), default=0)
        if longest is not None and needed > longest:
            raise ConfigError(
                f"{workload.label}: an input of {needed} tokens, but {model} takes at most {longest}; "
                f"try --seq-len {longest}"
            )


def _common_choices(request: Request) -> int | None:
    """Return the number of choices that a .tflite file is to be made for."""
    asked = {workload.choices for workload in request.workloads}
    if len(asked) > 1:
        raise ConfigError("the workloads of one session must have the same number of choices")
    return asked.pop()


def _note_detours(device: Device, formats: Set[Format], on_event: OnEvent) -> None:
    """Say where a format does not run as its board's best one would."""
    name, providers = device.name, device.profile.providers
    if providers and Format.ONNX_INT8 in formats:
        gpu = providers[0]
        on_event(Noted(f"{name}: dynamic int8 does not run on {gpu}: onnx-int8 is measured on the CPU; try onnx-fp16"))
    if not providers and Format.ONNX_FP16 in formats:
        on_event(Noted(f"{name}: onnx-fp16 is for GPUs: a CPU works in float32 and turns to and fro; try onnx-int8"))


def _agent_python(request: Request, on_event: OnEvent) -> str:
    """Return the Python that runs the agent: the device's; on this machine tflite-runtime has one of its own."""
    if not request.device.is_local or request.runtime != "tflite-runtime":
        return request.device.python
    return str(tflite_runtime_python(cache=cache_folder(), on_progress=lambda text: on_event(Noted(text))))


def _export(model: str, format: Format | None, choices: int | None, on_event: OnEvent) -> tuple[Variant, Artifact]:
    exported = export_model(
        model, format or Format.ONNX, choices=choices, on_progress=lambda text: on_event(Noted(text))
    )
    return exported.variant, exported.artifact


def _told_apart(exported: list[tuple[Variant, Artifact]]) -> list[tuple[Variant, Artifact]]:
    """Return the same with names that differ where the sources do: scores belong to a variant by its name."""
    names = unique_names([(variant.source, variant.name) for variant, _ in exported])
    return [(replace(variant, name=name), artifact) for (variant, artifact), name in zip(exported, names, strict=True)]


def _cells(
    encoded: Sequence[tuple[tuple[Variant, Artifact], Workload, EncodedInputs]],
    request: Request,
    session: str,
    facts: Mapping[str, Mapping[str, Any]],
) -> list[Cell]:
    cells = []
    for number, ((variant, artifact), workload, inputs) in enumerate(encoded):
        threads = workload.threads if workload.threads is not None else request.device.profile.threads or None
        workload = replace(workload, threads=threads)
        subject = Subject(
            id=f"{session}-{number:03d}",
            session=session,
            variant=variant,
            artifact=artifact,
            device=facts[runtime_of(artifact, request.runtime)],
            workload=workload.to_json(),
            label=workload.label,
            planned_runs=looks_of(request)[0],
            looks=len(looks_of(request)),
        )
        cells.append(Cell(subject, workload, inputs))
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


def _measure_cells(
    agent: RemoteAgent,
    cells: Sequence[Cell],
    done: dict[str, list[Run]],
    request: Request,
    store: Store,
    on_event: OnEvent,
) -> None:
    """Measure the planned order up to each look at the data, and repeat what was not valid, at most half as many."""
    looks = looks_of(request)
    order = order_of_runs(len(cells), looks[-1], seed=request.seed or 0)
    seen: Counter[int] = Counter()
    failed: dict[str, RunFailed] = {}

    def measure(cell: Cell) -> None:
        try:
            _measure_and_keep(agent, cell, done, request, store, on_event)
        except RunFailed as error:
            # Its file or its inputs are at fault; the others go on, and the end tells.
            failed[cell.subject.id] = error
            on_event(Noted(f"{cell.subject.variant.name} {cell.subject.artifact.format} is given up: {error}"))

    for number, runs in enumerate(looks):
        for index in order[(looks[number - 1] if number else 0) * len(cells) : runs * len(cells)]:
            seen[index] += 1
            cell = cells[index]
            if cell.subject.id not in failed and seen[index] > len(done[cell.subject.id]):
                measure(cell)
        most = runs + max(1, runs // 2)
        for cell in cells:
            kept = done[cell.subject.id]
            while cell.subject.id not in failed and sum(run.valid for run in kept) < runs and len(kept) < most:
                on_event(
                    Noted(f"{cell.subject.variant.name}: repeating a run that was not valid: {_last_reason(kept)}")
                )
                measure(cell)
        if len(looks) > 1 and _is_decided(cells, done, request, on_event):
            break
    for error in failed.values():
        raise error


def looks_of(request: Request) -> tuple[int, ...]:
    """Return after how many runs of each row the data are looked at."""
    return LOOKS if request.until_decided else (request.plan.runs,)


def _is_decided(cells: Sequence[Cell], done: Mapping[str, Sequence[Run]], request: Request, on_event: OnEvent) -> bool:
    """Whether nothing is left inconclusive between the first row of each workload and the others."""
    measured = [summarise(cell.subject, done[cell.subject.id]) for cell in cells]
    pairs = pairs_with_the_first(measured)
    try:
        compared = compare_pairs(pairs, margin=request.margin, allow=(*MUST_MATCH, "runtime"))
    except TooFewRuns as error:
        on_event(Noted(f"nothing to decide by: {error}"))
        return True
    for comparison in compared:
        on_event(Noted(comparison.verdict))
    return all(comparison.latency.verdict != "inconclusive" for comparison in compared)


def _last_reason(runs: Sequence[Run]) -> str:
    return next(("; ".join(run.reasons) for run in reversed(runs) if run.reasons), "it is missing")


def _measure_and_keep(
    agent: RemoteAgent,
    cell: Cell,
    done: dict[str, list[Run]],
    request: Request,
    store: Store,
    on_event: OnEvent,
) -> None:
    runs = done[cell.subject.id]
    number = len(runs) + 1
    run_id = f"{cell.subject.id}-{number:03d}-{secrets.token_hex(2)}"
    watch = _running(cell, number, looks_of(request)[-1], on_event)
    try:
        run = _measure_patiently(agent, cell, request, run_id, watch, on_event)
    except _Ended as ended:
        store.add_run(cell.subject, replace(ended.run, reasons=(ended.reason,)))
        raise ended.why from ended
    run = replace(run, reasons=reasons_against(run, request.plan))
    store.add_run(cell.subject, run)
    runs.append(run)
    on_event(Ended(cell.subject, run))


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


class _Ended(Exception):
    """A run ended before its time; `run` is what it had measured, `why` what is to be raised once that is kept."""

    def __init__(self, run: Run, reason: str, why: BaseException) -> None:
        super().__init__(run.id)
        self.run = run
        self.reason = reason
        self.why = why


def _measure_patiently(
    agent: RemoteAgent,
    cell: Cell,
    request: Request,
    run_id: str,
    watch: Callable[[RunCollector], None],
    on_event: OnEvent,
) -> Run:
    """Measure a run as soon as the board is free; somebody else's run ends by itself."""
    deadline = time.monotonic() + _BUSY_WAIT_S
    told = False
    while True:
        try:
            return measure_run(agent, cell, request, run_id, on_event=watch)
        except BoardBusy as busy:
            if time.monotonic() > deadline:
                raise
            if not told:
                on_event(Noted(f"{busy}; waiting for at most {_BUSY_WAIT_S / 60:.0f} minutes"))
                told = True
            time.sleep(_BUSY_POLL_S)


def run_spec(
    agent: RemoteAgent,
    artifact: Artifact,
    workload: Workload,
    inputs: EncodedInputs,
    *,
    run_id: str,
    providers: Sequence[str],
    plan: RunPlan | None,
    runtime: str | None = None,
) -> protocol.RunSpec:
    """Return the specification of a run over inputs that are on the board already.

    `plan` None: each input once, and the outputs are kept. `runtime`: as for `preflight`.
    """
    return protocol.RunSpec(
        run_id=run_id,
        mode="infer" if plan is None else "measure",
        runtime=runtime_of(artifact, runtime),
        files=model_files(agent, artifact),
        inputs_sha256=hashlib.sha256(inputs.to_bytes()).hexdigest(),
        lengths=inputs.lengths.tolist(),
        batch=workload.batch,
        choices=workload.choices or 1,
        pad_token_id=artifact.pad_token_id,
        threads=workload.threads or 0,
        providers=list(providers),
        min_count=plan.min_count if plan else 1,
        min_duration_ns=round(plan.min_duration_s * 1e9) if plan else 0,
        max_duration_ns=round(plan.max_duration_s * 1e9) if plan else protocol.MAX_INT,
        lease_ns=LEASE_NS,
        scenario=str(workload.scenario),
        rate_mhz=round(1000 * workload.queries_per_s) if workload.queries_per_s is not None else 0,
        seed=zlib.crc32(run_id.encode()),  # other arrivals in every run
    )


def measure_run(
    agent: RemoteAgent,
    cell: Cell,
    request: Request,
    run_id: str,
    *,
    on_event: Callable[[RunCollector], None],
) -> Run:
    """Measure one run from launch to its last message.

    Raises:
        BoardBusy: another run is measuring there.
        ConnectionLost, AgentError, BoardError: the run is ended on the board, as far as it can be reached.
    """
    artifact = cell.subject.artifact
    spec = run_spec(
        agent,
        artifact,
        cell.workload,
        cell.inputs,
        run_id=run_id,
        providers=providers_for(request.device, artifact),
        plan=request.plan,
        runtime=request.runtime,
    )
    collector = RunCollector(spec, started_at=_now(), agent_sha256=agent_archive()[1])
    position = Position()
    try:
        agent.launch(spec)
        for entry in agent.follow(run_id, position=position):
            collector.take(entry)
            on_event(collector)
    except BoardBusy:
        raise
    except KeyboardInterrupt as interrupt:
        for entry in agent.stop(run_id, position=position):
            collector.take(entry)
        raise _Ended(collector.run(), INTERRUPTED, interrupt) from interrupt
    except EdgebenchError:
        agent.stop(run_id, position=position)
        raise
    if collector.failed is not None:
        failed = failure(f"{agent.name}: {cell.subject.variant.name} {artifact.format}", collector.failed)
        raise _Ended(collector.run(), f"failed: {failed.kind}", failed)
    return collector.run()


def has_fallen_back(runs: Sequence[Run]) -> bool:
    """Whether an accelerator ran only some of the nodes, and the CPU the others."""
    for run in runs:
        nodes = run.facts.get("nodes")
        if isinstance(nodes, dict) and nodes.get("CPUExecutionProvider", 0) and len(nodes) > 1:
            return True
    return False


def _profile_and_keep(agent: RemoteAgent, cell: Cell, request: Request, store: Store, on_event: OnEvent) -> None:
    """Profile the operators of a cell; what goes wrong is said, and what was measured stays."""
    what = f"{cell.subject.variant.name} {cell.subject.artifact.format}"
    on_event(Noted(f"{what}: profiling its operators, in a run that doesn't count"))
    try:
        profile = _profile_operators(agent, cell, request)
    except (RunFailed, AgentError) as error:
        on_event(Noted(f"{what}: its operators were not profiled: {error}"))
        return
    store.write_operators(cell.subject.id, profile)


def _profile_operators(agent: RemoteAgent, cell: Cell, request: Request) -> OperatorProfile:
    artifact = cell.subject.artifact
    spec = run_spec(
        agent,
        artifact,
        cell.workload,
        cell.inputs,
        run_id=f"{cell.subject.id}-operators-{secrets.token_hex(2)}",
        providers=providers_for(request.device, artifact),
        plan=None,
        runtime=request.runtime,
    )
    parts: list[protocol.Operators] = []
    with agent.running(replace(spec, mode="operators")) as entries:
        for entry in entries:
            if isinstance(entry.message, protocol.Failed):
                raise failure(agent.name, entry.message)
            if isinstance(entry.message, protocol.Operators):
                parts.append(entry.message)
    return profile_of(parts, source=f"{agent.name}: run {spec.run_id}")


def profile_of(parts: Sequence[protocol.Operators], *, source: str) -> OperatorProfile:
    """Return the operators that a run told of.

    Raises:
        AgentError: there are none, or more than a model has.
    """
    rows = [
        Operator(
            name=printable(name), type=printable(type), provider=printable(provider), calls=calls, total_ns=total_ns
        )
        for part in parts
        for name, type, provider, calls, total_ns in zip(
            part.names, part.types, part.providers, part.calls, part.total_ns, strict=True
        )
    ]
    if not 0 < len(rows) <= protocol.MAX_ITEMS:
        raise AgentError(f"{source}: told of {len(rows)} operators")
    return OperatorProfile(
        inferences=parts[0].inferences,
        wall_ns=parts[0].wall_ns,
        operators=tuple(sorted(rows, key=lambda operator: -operator.total_ns)),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _planned(session: str, cells: Sequence[Cell], done: Mapping[str, Sequence[Run]], request: Request) -> Planned:
    looks, plan = looks_of(request), request.plan
    least, most = (sum(max(0, runs - len(done[cell.subject.id])) for cell in cells) for runs in (looks[0], looks[-1]))
    return Planned(
        session, tuple(cell.subject for cell in cells), most, least * plan.min_duration_s, most * plan.max_duration_s
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
