"""edgebench profile: the main job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from edgebench.artifact import EXPORT_FORMATS, parse_format
from edgebench.cli.numbers import parts, time_span, whole_numbers
from edgebench.cli.output import json_option, scores_option, store_option, verbosity_options, wait_option
from edgebench.errors import ConfigError, UsageError
from edgebench.request import PARAMETERS
from edgebench.stats.percentiles import MINIMUM_COUNTS
from edgebench.workload import RunPlan, Scenario, Workload

if TYPE_CHECKING:
    from edgebench.device import Device
    from edgebench.events import OnEvent
    from edgebench.measurement import Measurement
    from edgebench.request import Request
    from edgebench.store.store import Store
    from edgebench.xtreme_r.scores import ScoreRow

DEFAULTS = RunPlan()
#: MLPerf's for a query of a multi-stream; offline, as many in a batch.
_SAMPLES = {Scenario.MULTI_STREAM: 8, Scenario.OFFLINE: 8}
_FOR_P99 = -(-MINIMUM_COUNTS[0.99] // DEFAULTS.runs)


@click.command("profile")
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="NAME",
    help="Board (repeatable: measured at once), or all. [default: local]",
)
@click.option("--host", metavar="[USER@]HOST[:PORT]", help="Address of a board that edgebench.toml does not name.")
@click.option("--host-key", metavar="KEY", help='The only host key to accept there: "ssh-ed25519 AAAA...".')
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    help="Hugging Face folder or hub id, an .onnx or .tflite file, a folder that export --out wrote, or "
    "reference:tiny|minilm|base|large (repeatable). "
    "[default: reference:minilm]",
)
@click.option(
    "--format", "formats", metavar="F[,F...]", help=f"Of {', '.join(EXPORT_FORMATS)}. [default: the device profile's]"
)
@click.option(
    "--scenario",
    type=click.Choice([str(kind) for kind in Scenario]),
    default=str(Scenario.SINGLE_STREAM),
    show_default=True,
    help="As MLPerf Inference defines them.",
)
@click.option("--qps", type=float, metavar="N", help="Queries a second that arrive at a server (Poisson).")
@click.option("--find-qps", is_flag=True, help="Search a server's highest rate that keeps p99 under the bound.")
@click.option("--latency-bound-ms", type=float, metavar="MS", help="The bound, from a query's arrival on.")
@click.option("--seq-len", type=int, metavar="N", help="Tokens of each input. [default: 128]")
@click.option("--lang", metavar="L[,L...]", help="Token lengths that parallel text has in these languages.")
@click.option("--texts", type=click.Path(path_type=Path), metavar="FILE", help="One text a line, tokenised.")
@click.option(
    "--batch",
    type=int,
    metavar="N",
    help="Inputs per inference; of a multi-stream: samples per query. [default: 1; multi-stream and offline: 8]",
)
@click.option("--choices", type=int, metavar="N", help="Sequences of a multiple choice's example. [default: 2]")
@click.option("--truncate", is_flag=True, help="Cut texts that are longer than the model allows.")
@click.option(
    "--runtime", metavar="NAME", help="For .tflite: ai-edge-litert or tflite-runtime. [default: what is there]"
)
@click.option("--ops", is_flag=True, help="Also show what each operator takes, from an extra run that doesn't count.")
@click.option(
    "--cold/--no-cold", default=True, show_default=True, help="Also start once with the file out of the board's memory."
)
@click.option(
    "--own-cost/--no-own-cost",
    default=True,
    show_default=True,
    help="First measure, in some seconds, what edgebench itself costs on the board.",
)
@click.option("--setup", is_flag=True, help="First make a bare board ready for these formats, as `device setup` does.")
@click.option("--threads", metavar="N[,N...]", help="Threads of the runtime; several make a sweep.")
@click.option("--cores", metavar="N[,N...]", help="Cores that the measuring process keeps to. [default: all]")
@click.option(
    "--tune",
    metavar="P[,P...]",
    help=f"Find the fastest valid setting of {', '.join(PARAMETERS)}: threads and cores; governor and power mode, "
    "which are put back after.",
)
@click.option("--runs", type=int, default=DEFAULTS.runs, show_default=True, help="Fresh processes per row.")
@click.option(
    "--min-count",
    type=int,
    help=f"Inferences per run. [default: {DEFAULTS.min_count}; server: {_FOR_P99}, so that six runs state p99; with "
    f"--find-qps: {MINIMUM_COUNTS[0.99]}]",
)
@click.option("--min-duration", type=float, default=DEFAULTS.min_duration_s, show_default=True, help="Seconds per run.")
@click.option("--max-duration", type=float, default=DEFAULTS.max_duration_s, show_default=True, help="Seconds per run.")
@click.option(
    "--sustained",
    type=float,
    metavar="MIN",
    help="Instead: one run of so many minutes, minute by minute, throttling and all.",
)
@click.option(
    "--until-decided",
    is_flag=True,
    help="More runs, at planned looks (6, 12, 20, 40), until every row is faster, slower or equivalent to the first.",
)
@click.option(
    "--alternate",
    is_flag=True,
    help="Measure the models of each workload in one process, one inference each in turn: for virtual machines, whose "
    "neighbours on the host come and go. Memory and energy are then nobody's own, and not told.",
)
@wait_option
@click.option("--margin", type=float, default=0.03, show_default=True, help="With it: within ±margin is equivalent.")
@click.option(
    "--budget",
    "budget_s",
    callback=time_span,
    metavar="TIME",
    help="Of each board, e.g. 20m: plan runs and counts that fit into it.",
)
@click.option(
    "--cool-below",
    type=click.FloatRange(0, 150),
    metavar="C",
    help="Wait before each run until the CPU is at most so warm, °C. [default: the device profile's]",
)
@click.option(
    "--cool-wait",
    "cool_wait_s",
    callback=time_span,
    default="10m",
    show_default=True,
    metavar="TIME",
    help="At most so long, then go on.",
)
@scores_option
@store_option
@json_option
@verbosity_options
def command(
    devices: tuple[str, ...],
    host: str | None,
    host_key: str | None,
    models: tuple[str, ...],
    formats: str | None,
    scenario: str,
    qps: float | None,
    find_qps: bool,
    latency_bound_ms: float | None,
    seq_len: int | None,
    lang: str | None,
    texts: Path | None,
    batch: int | None,
    choices: int | None,
    truncate: bool,
    runtime: str | None,
    ops: bool,
    cold: bool,
    own_cost: bool,
    threads: str | None,
    cores: str | None,
    tune: str | None,
    runs: int,
    min_count: int | None,
    min_duration: float,
    max_duration: float,
    sustained: float | None,
    until_decided: bool,
    alternate: bool,
    setup: bool,
    wait_s: int,
    margin: float,
    budget_s: int | None,
    cool_below: float | None,
    cool_wait_s: int,
    scores: Path | None,
    store: Path,
    json_target: str | None,
) -> int:
    """Measure models on a board: latency, throughput and memory of the exported file.

    \b
    Example:
      edgebench profile --device pi4 --model runs/xnli-multi --format onnx-int8,onnx-fp32 --lang sw,th
    """
    kind = Scenario(scenario)
    plan = _plan(kind, runs, min_count, min_duration, max_duration, sustained, until_decided)
    shape = Workload(
        scenario=kind,
        queries_per_s=qps,
        latency_bound_ms=_bound(kind, qps, find_qps, latency_bound_ms),
        choices=choices,
        truncate=truncate,
        affinity=tuple(whole_numbers(cores, "--cores")) or None,
    )
    workloads = _workloads(shape, seq_len, lang, texts, batch, threads)
    wanted = tuple(parse_format(name) for name in parts(formats))
    if host is not None and len(devices) > 1:
        raise UsageError("--host gives one address, but several --device were named")
    if host_key is not None and host is None:
        raise UsageError(
            "--host-key goes with --host; for a board of edgebench.toml: edgebench device add ... --host-key"
        )
    if tune is not None and (len(devices) > 1 or "all" in devices):
        raise UsageError("one board is tuned at a time; name one with --device")
    boards = [named_device(name, host, host_key) for name in _named(devices)] or [named_device(None, host, host_key)]

    from edgebench.cli.measuring import measure_and_show
    from edgebench.measure.session import profile_all
    from edgebench.request import DEFAULT_MODEL, Request
    from edgebench.store.store import Store
    from edgebench.xtreme_r.scores import read_scores

    rows = read_scores(scores) if scores is not None else []
    requests = [
        Request(
            device=board,
            models=tuple(dict.fromkeys(models)) or (DEFAULT_MODEL,),
            formats=wanted,
            workloads=tuple(workloads),
            plan=plan,
            runtime=runtime,
            operators=ops,
            cold=cold,
            own_cost=own_cost,
            until_decided=until_decided,
            wait_s=wait_s,
            tune=tuple(parts(tune)),
            margin=margin,
            budget_s=budget_s,
            cool_below_c=cool_below,
            cool_wait_s=cool_wait_s,
            alternate=alternate,
        )
        for board in boards
    ]
    keep = Store(store)
    measure = _set_up_and_profile if setup else profile_all
    return measure_and_show(
        {each.device.name: partial(measure, each, store=keep, scores=rows) for each in requests},
        store=keep,
        json_target=json_target,
        scores=rows,
        margin=margin,
    )


def _set_up_and_profile(
    request: Request, *, store: Store, scores: Sequence[ScoreRow], on_event: OnEvent
) -> list[Measurement]:
    from edgebench.measure.session import profile_all
    from edgebench.provision.setup import set_up_for

    set_up_for(request, on_event)
    return profile_all(request, store=store, scores=scores, on_event=on_event)


def _named(devices: tuple[str, ...]) -> list[str]:
    """Return the boards that were named, each once; `all` stands for those of edgebench.toml."""
    from edgebench.device import configured_devices

    if "all" not in devices:
        return list(dict.fromkeys(devices))
    known = sorted(configured_devices())
    if not known:
        raise UsageError("--device all: no edgebench.toml names a board; try: edgebench device add NAME --host ...")
    return list(dict.fromkeys([*(name for name in devices if name != "all"), *known]))


def named_device(name: str | None, host: str | None, host_key: str | None) -> Device:
    """Return the board of that name, at `host` where one is given; without a name, a board known only by its host."""
    from edgebench.device import Device, configured_devices, find_device, load_profile, parse_address, profile_names

    if host is None:
        return find_device(name or "local")
    user, address, port = parse_address(host)
    known = configured_devices().get(name or "")
    if known is not None:
        return replace(known, host=address, user=user or known.user, port=port or known.port, host_key=host_key)
    if name is not None and name not in profile_names():
        find_device(name)  # says what is near
    profile = load_profile(name or "generic-linux")
    return Device(name=name or address, profile=profile, host=address, user=user, port=port, host_key=host_key)


def _plan(
    kind: Scenario,
    runs: int,
    min_count: int | None,
    min_duration: float,
    max_duration: float,
    sustained: float | None,
    until_decided: bool,
) -> RunPlan:
    """Return the plan; of a server, with as many queries a run as its p99 needs."""
    given = click.get_current_context().get_parameter_source
    of_runs = {"runs": runs, "min_count": min_count, "min_duration": min_duration, "max_duration": max_duration}
    for name in (*of_runs, "until_decided", "find_qps", "budget_s"):
        if sustained is not None and given(name) is ParameterSource.COMMANDLINE:
            raise UsageError(
                f"--sustained is one run of so many minutes; leave --{name.removesuffix('_s').replace('_', '-')} out"
            )
    if until_decided and given("runs") is ParameterSource.COMMANDLINE:
        raise UsageError("--until-decided looks at the data after planned numbers of runs; leave --runs out")
    if min_count is None:
        finding = click.get_current_context().params["find_qps"]
        min_count = MINIMUM_COUNTS[0.99] if finding else _FOR_P99 if kind is Scenario.SERVER else DEFAULTS.min_count
    return RunPlan(
        runs=runs,
        min_count=min_count,
        min_duration_s=min_duration,
        max_duration_s=max_duration,
        sustained_min=sustained,
    )


def _bound(kind: Scenario, qps: float | None, find_qps: bool, latency_bound_ms: float | None) -> float | None:
    """Return the bound to search a rate for; None where no rate is searched."""
    if find_qps != (latency_bound_ms is not None):
        raise UsageError("--find-qps and --latency-bound-ms go together: the rate is searched that keeps the bound")
    if find_qps and (kind is not Scenario.SERVER or qps is not None):
        raise UsageError("--find-qps searches the rate of a server: give --scenario server, and no --qps")
    return latency_bound_ms


def _workloads(
    shape: Workload, seq_len: int | None, lang: str | None, texts: Path | None, batch: int | None, threads: str | None
) -> list[Workload]:
    """Return one workload for each language and number of threads."""
    if sum(option is not None for option in (seq_len, lang, texts)) > 1:
        raise UsageError("--seq-len, --lang and --texts exclude each other")
    lines = _read_texts(texts) if texts is not None else None
    languages: list[str | None] = [*parts(lang)] or [None]
    sweep: list[int | None] = [*whole_numbers(threads, "--threads")] or [None]
    samples = batch if batch is not None else _SAMPLES.get(shape.scenario, 1)
    if batch is None and lines is not None:
        samples = min(samples, len(lines) // (shape.choices or 1) or 1)
    return [
        replace(shape, seq_len=seq_len, lang=language, texts=lines, batch=samples, threads=number)
        for language in languages
        for number in sweep
    ]


def _read_texts(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error}") from error
    texts = tuple(line for line in lines if line.strip())
    if not texts:
        raise ConfigError(f"{path} has no text in it")
    return texts
