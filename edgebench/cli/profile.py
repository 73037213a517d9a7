"""edgebench profile: the main job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup
from click.core import ParameterSource
from cloup import option, option_group

from edgebench.artifact import EXPORT_FORMATS, parse_formats
from edgebench.cli.numbers import parts, time_span, whole_numbers
from edgebench.cli.options import (
    cool_below_option,
    journal_option,
    max_duration_option,
    max_warmup_option,
    min_duration_option,
    output_options,
    scores_option,
    texts_option,
    truncate_option,
    wait_idle_option,
    wait_option,
)
from edgebench.cli.requested import named_boards, named_device, requested_workloads
from edgebench.errors import UsageError
from edgebench.request import PARAMETERS
from edgebench.stats import MINIMUM_COUNTS, QUERIES
from edgebench.workload import RunPlan, Scenario, Workload

if TYPE_CHECKING:
    from edgebench.events import OnEvent
    from edgebench.measurement import Measurement
    from edgebench.request import Request
    from edgebench.store import Store
    from edgebench.xtreme_r import ScoreRow

DEFAULTS = RunPlan()
#: Default samples per query: multi-stream as in MLPerf; offline, the batch has the same size.
_FOR_P99 = -(-MINIMUM_COUNTS[0.99] // DEFAULTS.runs)


@cloup.command("profile")
@option_group(
    "What to measure",
    option(
        "--model",
        "models",
        multiple=True,
        metavar="MODEL",
        help="Hugging Face folder or hub id, .onnx or .tflite file, folder written by export --out or Optimum, or "
        "reference:tiny|minilm|base|large. Repeatable. [default: reference:minilm]",
    ),
    option(
        "--sentence-embedding",
        is_flag=True,
        help="Take a sentence-transformers folder as one graph: encoder, Pooling, Dense, Normalize.",
    ),
    option(
        "--format",
        "formats",
        metavar="F[,F...]",
        help=f"Formats: {', '.join(EXPORT_FORMATS)}, or all. [default: the device profile's]",
    ),
    option("--lang", metavar="L[,L...]", help="Use the token lengths of parallel text in these languages."),
    texts_option,
    option("--seq-len", type=int, metavar="N", help="Use inputs of N tokens. [default: 128]"),
    truncate_option,
    option(
        "--scenario",
        type=click.Choice([str(kind) for kind in Scenario]),
        default=str(Scenario.SINGLE_STREAM),
        show_default=True,
        help="Scenario of MLPerf Inference.",
    ),
    option(
        "--batch",
        type=int,
        metavar="N",
        help="Inputs per inference; multi-stream: samples per query. [default: 1; multi-stream and offline: 8]",
    ),
    option("--choices", type=int, metavar="N", help="Choices of each multiple-choice example. [default: 2]"),
    option("--qps", type=float, metavar="N", help="server: queries per second (Poisson arrivals)."),
    option("--find-qps", is_flag=True, help="server: search the highest rate that keeps p99 below the bound."),
    option("--latency-bound-ms", type=float, metavar="MS", help="Bound for --find-qps, from a query's arrival."),
    option("--ops", is_flag=True, help="Also profile the operators, in an extra run that does not count."),
    option("--cold/--no-cold", default=True, show_default=True, help="Also measure one start from a cold page cache."),
)
@option_group(
    "Where",
    option(
        "--device",
        "devices",
        multiple=True,
        metavar="NAME",
        help="Board of edgebench.toml, or all. Repeatable: boards are measured at the same time. [default: local]",
    ),
    option("--host", metavar="[USER@]HOST[:PORT]", help="Address of a board that is not in edgebench.toml."),
    option("--host-key", metavar="KEY", help='Only host key to accept there: "ssh-ed25519 AAAA...".'),
    option("--setup", is_flag=True, help="First set the board up for these formats, as `device setup` does."),
    wait_option,
    wait_idle_option,
    journal_option,
    option("--runtime", metavar="NAME", help="ai-edge-litert or tflite-runtime. [default: the one on the board]"),
    option("--threads", metavar="N[,N...]", help="Threads of the runtime; several values make a sweep."),
    option("--cores", metavar="N[,N...]", help="Cores that the worker process may use. [default: all]"),
    option(
        "--tune",
        metavar="P[,P...]",
        help=f"Find the fastest valid setting of {', '.join(PARAMETERS)}. Power settings are restored afterwards.",
    ),
)
@option_group(
    "How long",
    option("--runs", type=int, default=DEFAULTS.runs, show_default=True, help="Fresh processes per row."),
    option(
        "--min-count",
        type=int,
        help=f"Inferences per run. [default: {DEFAULTS.min_count}; server: {_FOR_P99}, so that six runs state p99; "
        f"with --find-qps: {QUERIES:,} over all runs]",
    ),
    min_duration_option,
    max_duration_option,
    max_warmup_option,
    option(
        "--budget",
        "budget_s",
        callback=time_span,
        metavar="TIME",
        help="Plan runs and counts that fit into this time per board, e.g. 20m; --find-qps ends then with what it has.",
    ),
    option("--sustained", type=float, metavar="MIN", help="One run of MIN minutes, reported minute by minute."),
    cool_below_option,
    option(
        "--cool-wait",
        "cool_wait_s",
        callback=time_span,
        default="10m",
        show_default=True,
        metavar="TIME",
        help="Longest wait for the temperature of --cool-below; then the run starts anyway.",
    ),
)
@option_group(
    "How to judge",
    option(
        "--until-decided",
        is_flag=True,
        help="Measure more runs, at planned looks (6, 12, 20, 40), until every row is faster, slower or equivalent "
        "to the first.",
    ),
    option("--margin", type=float, default=0.03, show_default=True, help="Latencies within ±margin are equivalent."),
    option(
        "--accept-parity",
        is_flag=True,
        help="Also measure files whose parity is below the floor for their head and format; they are marked.",
    ),
    option(
        "--alternate",
        is_flag=True,
        help="Measure the models of a workload in one process, one inference each in rotation: for virtual machines "
        "with noisy neighbours. Memory and energy are not reported then.",
    ),
    option(
        "--overhead/--no-overhead",
        default=True,
        show_default=True,
        help="First measure the overhead of edgebench itself on the board.",
    ),
    option("--own-cost/--no-own-cost", default=None, hidden=True, help="Older name of --overhead/--no-overhead."),
    scores_option,
)
@output_options
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
    overhead: bool,
    own_cost: bool | None,
    threads: str | None,
    cores: str | None,
    tune: str | None,
    runs: int,
    min_count: int | None,
    min_duration: float,
    max_duration: float,
    max_warmup: float,
    sustained: float | None,
    until_decided: bool,
    accept_parity: bool,
    alternate: bool,
    sentence_embedding: bool,
    setup: bool,
    wait_s: int,
    wait_idle_s: int | None,
    journal: str,
    margin: float,
    budget_s: int | None,
    cool_below: float | None,
    cool_wait_s: int,
    scores: Path | None,
    store: str,
    json_target: str | None,
) -> int:
    """Measure models on a board: latency, throughput and memory of the exported file.

    \b
    Example:
      edgebench profile --device pi4 --model runs/xnli-multi --lang sw,th
    """
    kind = Scenario(scenario)
    plan = _plan(kind, runs, min_count, min_duration, max_duration, sustained, until_decided)
    plan = replace(plan, max_warmup_s=max_warmup)
    shape = Workload(
        scenario=kind,
        queries_per_s=qps,
        latency_bound_ms=_bound(kind, qps, find_qps, latency_bound_ms),
        choices=choices,
        truncate=truncate,
        affinity=tuple(whole_numbers(cores, "--cores")) or None,
    )
    workloads = requested_workloads(shape, seq_len, lang, texts, batch, threads)
    wanted = parse_formats(parts(formats))
    if host is not None and len(devices) > 1:
        raise UsageError("--host gives one address, but several --device were named")
    if host_key is not None and host is None:
        raise UsageError(
            "--host-key goes with --host; for a board of edgebench.toml: edgebench device add ... --host-key"
        )
    if tune is not None and (len(devices) > 1 or "all" in devices):
        raise UsageError("one board is tuned at a time; name one with --device")
    boards = [named_device(name, host, host_key) for name in named_boards(devices)] or [
        named_device(None, host, host_key)
    ]

    from edgebench.cli.measuring import measure_and_show
    from edgebench.measure import profile_all, refuse_plain_checkpoints
    from edgebench.request import DEFAULT_MODEL, Request
    from edgebench.store import Store
    from edgebench.xtreme_r import read_scores

    rows = read_scores(scores) if scores is not None else []
    if sentence_embedding:
        refuse_plain_checkpoints(models or (DEFAULT_MODEL,))
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
            overhead=overhead if own_cost is None else own_cost,
            until_decided=until_decided,
            wait_s=wait_s,
            wait_idle_s=wait_idle_s,
            journal=journal,
            tune=tuple(parts(tune)),
            margin=margin,
            budget_s=budget_s,
            cool_below_c=cool_below,
            cool_wait_s=cool_wait_s,
            alternate=alternate,
            accept_parity=accept_parity,
            sentence_embedding=sentence_embedding,
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
        host=host,
    )


def _set_up_and_profile(
    request: Request, *, store: Store, scores: Sequence[ScoreRow], on_event: OnEvent
) -> list[Measurement]:
    from edgebench.measure import profile_all
    from edgebench.provision import set_up_for

    set_up_for(request, on_event)
    return profile_all(request, store=store, scores=scores, on_event=on_event)


def _plan(
    kind: Scenario,
    runs: int,
    min_count: int | None,
    min_duration: float,
    max_duration: float,
    sustained: float | None,
    until_decided: bool,
) -> RunPlan:
    """Return the plan; for a server, with as many queries per run as p99 needs."""
    source_of = click.get_current_context().get_parameter_source
    of_runs = {"runs": runs, "min_count": min_count, "min_duration": min_duration, "max_duration": max_duration}
    for name in (*of_runs, "until_decided", "find_qps", "budget_s"):
        if sustained is not None and source_of(name) is ParameterSource.COMMANDLINE:
            raise UsageError(
                f"--sustained is one run of so many minutes; leave --{name.removesuffix('_s').replace('_', '-')} out"
            )
    if until_decided and source_of("runs") is ParameterSource.COMMANDLINE:
        raise UsageError("--until-decided looks at the data after planned numbers of runs; leave --runs out")
    if min_count is None:
        finding = click.get_current_context().params["find_qps"]
        min_count = (
            -(-QUERIES // max(1, runs)) if finding else _FOR_P99 if kind is Scenario.SERVER else DEFAULTS.min_count
        )
    return RunPlan(
        runs=runs,
        min_count=min_count,
        min_duration_s=min_duration,
        max_duration_s=max_duration,
        sustained_min=sustained,
    )


def _bound(kind: Scenario, qps: float | None, find_qps: bool, latency_bound_ms: float | None) -> float | None:
    """Return the latency bound of a rate search; None if no rate is searched."""
    if find_qps != (latency_bound_ms is not None):
        raise UsageError("--find-qps and --latency-bound-ms go together: the rate is searched that keeps the bound")
    if find_qps and (kind is not Scenario.SERVER or qps is not None):
        raise UsageError("--find-qps searches the rate of a server: give --scenario server, and no --qps")
    return latency_bound_ms
