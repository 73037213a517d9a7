"""edgebench gate: hold a candidate against a baseline that is measured again; gate accept: make a baseline."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup
from click.core import ParameterSource
from cloup import option, option_group

from edgebench.cli.groups import Group
from edgebench.cli.options import (
    cool_below_option,
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
from edgebench.cli.output import check_json_target, console, progress_console, to_stdout, write_json
from edgebench.cli.profile import DEFAULTS
from edgebench.cli.requested import named_device, requested_workloads
from edgebench.errors import ConfigError, NotValid, StoreError, UsageError
from edgebench.text import harmless
from edgebench.workload import RunPlan, Scenario, Workload

if TYPE_CHECKING:
    from edgebench.gating import GateResult

FAILED = 3
_FILE = click.Path(path_type=Path, dir_okay=False)
#: Options that say what the inputs are: without any of them, the baseline's workload is measured.
_OF_WORKLOAD = ("lang", "texts", "seq_len", "truncate", "scenario", "batch", "choices", "qps", "threads", "cores")


@cloup.group("gate", invoke_without_command=True, cls=Group)
@option_group(
    "What to hold against what",
    option(
        "--baseline",
        metavar="REF",
        default="last",
        show_default=True,
        help="A measurement's id, a variant (NAME or NAME:FORMAT), a FILE.json written by gate accept --out, the name "
        "of an accepted baseline, or last.",
    ),
    option(
        "--anchor",
        metavar="REF",
        help="Also hold the candidate against this baseline. [default: the pinned anchor, if any]",
    ),
    option("--model", metavar="MODEL", help="The candidate, as for profile. [default: reference:minilm]"),
    option("--format", metavar="F", help="Format of the candidate. [default: the baseline's]"),
    option(
        "--accept-parity",
        is_flag=True,
        help="Also take a file whose parity is below the floor for its head and format.",
    ),
    option("--allow", multiple=True, metavar="NAME", help="Accept another format or runtime than the baseline's."),
)
@option_group(
    "Inputs (default: the baseline's)",
    option("--lang", metavar="L[,L...]", help="Use the token lengths of parallel text in these languages."),
    texts_option,
    option("--seq-len", type=int, metavar="N", help="Use inputs of N tokens."),
    truncate_option,
    option(
        "--scenario",
        type=click.Choice([str(kind) for kind in Scenario]),
        default=str(Scenario.SINGLE_STREAM),
        show_default=True,
        help="Scenario of MLPerf Inference.",
    ),
    option("--batch", type=int, metavar="N", help="Inputs per inference."),
    option("--choices", type=int, metavar="N", help="Choices of each multiple-choice example."),
    option("--qps", type=float, metavar="N", help="server: queries per second (Poisson arrivals)."),
    option("--threads", type=int, metavar="N", help="Threads of the runtime."),
    option("--cores", metavar="N[,N...]", help="Cores that the worker process may use."),
)
@option_group(
    "Where and how long",
    option("--device", metavar="NAME", help="Board of edgebench.toml, or local. [default: the baseline's]"),
    option("--host", metavar="[USER@]HOST[:PORT]", help="Address of a board that is not in edgebench.toml."),
    option("--host-key", metavar="KEY", help='Only host key to accept there: "ssh-ed25519 AAAA...".'),
    option("--runtime", metavar="NAME", help="ai-edge-litert or tflite-runtime. [default: the one on the board]"),
    wait_option,
    wait_idle_option,
    option(
        "--min-count", type=int, default=DEFAULTS.min_count, show_default=True, help="Fewest inferences of each run."
    ),
    min_duration_option,
    max_duration_option,
    max_warmup_option,
    cool_below_option,
)
@option_group(
    "How to judge",
    option("--margin", type=float, metavar="M", help="Margin of the latency, instead of the budgets' (0.03: 3 %)."),
    option(
        "--fail-on",
        type=click.Choice(["inconclusive"]),
        help="End with 3 also if a budget is undecided.",
    ),
    scores_option,
)
@option_group(
    "Files for CI systems",
    option("--junit", type=_FILE, metavar="FILE", help="Write JUnit XML; undecided is skipped."),
    option("--markdown", type=_FILE, metavar="FILE", help="Write Markdown, for a comment on the change."),
    option("--github", is_flag=True, help="GitHub Actions: write the step summary, and annotations."),
    option("--gitlab", type=_FILE, metavar="FILE", help="Write GitLab's code-quality report."),
    option("--gitlab-metrics", type=_FILE, metavar="FILE", help="Write a metrics report (OpenMetrics text)."),
)
@output_options
@click.pass_context
def command(
    ctx: click.Context,
    baseline: str,
    anchor: str | None,
    model: str | None,
    format: str | None,
    accept_parity: bool,
    allow: tuple[str, ...],
    lang: str | None,
    texts: Path | None,
    seq_len: int | None,
    truncate: bool,
    scenario: str,
    batch: int | None,
    choices: int | None,
    qps: float | None,
    threads: int | None,
    cores: str | None,
    device: str | None,
    host: str | None,
    host_key: str | None,
    runtime: str | None,
    wait_s: int,
    wait_idle_s: int | None,
    min_count: int,
    min_duration: float,
    max_duration: float,
    max_warmup: float,
    cool_below: float | None,
    margin: float | None,
    fail_on: str | None,
    scores: Path | None,
    junit: Path | None,
    markdown: Path | None,
    github: bool,
    gitlab: Path | None,
    gitlab_metrics: Path | None,
    store: str,
    json_target: str | None,
) -> int:
    """Fail if a candidate is slower, larger or worse than a baseline allows.

    The baseline's file is measured again in the same session, so that the board of today decides. The gate looks at
    the data after 6, 12 and 20 runs of each side; a failure counts only if a second session confirms it. Budgets are in
    edgebench.toml; without any, the latency may be at most 3 % above the baseline's.

    \b
    Example:
      edgebench gate --baseline baseline.json --device pi4 --model runs/new
    """
    if ctx.invoked_subcommand is not None:
        return 0
    check_json_target(json_target)
    for path in (junit, markdown, gitlab, gitlab_metrics):
        check_json_target(str(path) if path is not None else None)
    summary = _step_summary() if github else None
    if host_key is not None and host is None:
        raise UsageError("--host-key goes with --host")

    from edgebench.cli.live import LiveDisplay
    from edgebench.gating import GateVerdict, gate
    from edgebench.reporting import junit_error
    from edgebench.request import DEFAULT_MODEL
    from edgebench.store import Store

    kind = Scenario(scenario)
    is_asked = any(ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in _OF_WORKLOAD)
    workloads: list[Workload] = []
    if is_asked:
        shape = requested_shape(kind, qps=qps, choices=choices, truncate=truncate, cores=cores)
        listed = str(threads) if threads is not None else None
        workloads = requested_workloads(shape, seq_len, lang, texts, batch, listed)
    try:
        with LiveDisplay(progress_console()) as display:
            result = gate(
                model or DEFAULT_MODEL,
                baseline=baseline,
                anchor=anchor,
                device=named_device(device, host, host_key) if device is not None or host is not None else None,
                format=format,
                workloads=workloads,
                plan=RunPlan(
                    min_count=min_count,
                    min_duration_s=min_duration,
                    max_duration_s=max_duration,
                    max_warmup_s=max_warmup,
                ),
                margin=margin,
                allow=allow,
                store=store,
                scores=scores,
                runtime=runtime,
                accept_parity=accept_parity,
                wait_s=wait_s,
                wait_idle_s=wait_idle_s,
                cool_below_c=cool_below,
                on_event=partial(display, ""),
            )
    except NotValid as error:
        if junit is not None:
            _write(junit, junit_error(str(error), device=device or "gate"))
        raise
    write_json(json_target, result.to_json())
    if to_stdout(json_target):
        from edgebench.reporting import gate_parts

        for part in gate_parts(result):
            console().print(part, markup=False)
    _write_for_ci(result, junit, markdown, gitlab, gitlab_metrics, summary, file=_committed_file(baseline))
    Store(store).deliver()
    is_bad = result.failed or (fail_on is not None and result.result is GateVerdict.UNDECIDED)
    return FAILED if is_bad else 0


def requested_shape(
    kind: Scenario, *, qps: float | None, choices: int | None, truncate: bool, cores: str | None
) -> Workload:
    """Return a workload without its inputs."""
    from edgebench.cli.numbers import whole_numbers

    affinity = tuple(whole_numbers(cores, "--cores")) or None
    return Workload(scenario=kind, queries_per_s=qps, choices=choices, truncate=truncate, affinity=affinity)


def _committed_file(baseline: str) -> str:
    """Return the file of the repository that says what the gate is: the baseline's, else the budgets'."""
    path = Path(os.path.relpath(baseline)) if baseline.endswith(".json") else Path("edgebench.toml")
    return path.as_posix() if path.parts[0] != ".." else "edgebench.toml"


def _step_summary() -> Path:
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        raise ConfigError("--github needs GITHUB_STEP_SUMMARY, which GitHub Actions sets", hint="try `markdown=FILE`")
    return Path(path)


def _write_for_ci(
    result: GateResult,
    junit: Path | None,
    markdown: Path | None,
    gitlab: Path | None,
    gitlab_metrics: Path | None,
    summary: Path | None,
    *,
    file: str,
) -> None:
    """Write what CI systems read; `file` is what an annotation of a change is attached to."""
    from edgebench.reporting import code_quality, gate_markdown, github_annotations, junit_xml, openmetrics

    if junit is not None:
        _write(junit, junit_xml(result))
    if markdown is not None:
        _write(markdown, gate_markdown(result))
    if gitlab is not None:
        _write(gitlab, code_quality(result, path=file))
    if gitlab_metrics is not None:
        _write(gitlab_metrics, openmetrics(result))
    if summary is not None:
        _write(summary, gate_markdown(result), append=True)
        for line in github_annotations(result):
            click.echo(line, err=True)  # the runner reads both streams; standard output may be JSON


def _write(path: Path, text: str, *, append: bool = False) -> None:
    try:
        with path.open("a" if append else "w", encoding="utf-8") as file:
            file.write(harmless(text))
    except OSError as error:
        raise StoreError(f"can't write {path}: {error.strerror}") from error


@command.command("accept")
@click.argument("id")
@option("--as", "name", metavar="NAME", help="What the gate calls it, e.g. main. [default: the variant's name]")
@option("--anchor", is_flag=True, help="Pin it as the anchor: every later gate holds its candidate against it, too.")
@option("--out", type=_FILE, metavar="FILE", help="Also write it to FILE.json, to be committed.")
@output_options
def accept(id: str, name: str | None, anchor: bool, out: Path | None, store: str, json_target: str | None) -> None:
    """Make the measurement ID the baseline of its board and workload.

    Its file is copied into the store, so that gates can measure it again. The beginning of ID is enough.

    \b
    Example:
      edgebench gate accept 20250101T120000-1a2b3c-000 --as main
    """
    from edgebench.gating import accept_baseline

    check_json_target(json_target)
    if out is not None:
        check_json_target(str(out))
        if out.suffix != ".json":
            raise UsageError(f"--out: {out} must end in .json, so that --baseline takes it for a file")
    baseline = accept_baseline(id, store=store, name=name, anchor=anchor, out=out)
    write_json(json_target, baseline.to_json())
    if to_stdout(json_target):
        role = "anchor" if anchor else "baseline"
        with suppress(BrokenPipeError):
            console().print(
                f"{baseline.name} ({baseline.measurement}) is the {role} of {baseline.device.name}, {baseline.label}: "
                f"{baseline.artifact.format} {baseline.artifact.sha256[:12]}",
                markup=False,
            )
