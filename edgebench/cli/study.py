"""edgebench study: a matrix of variants, formats, devices and workloads."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import click
import cloup

from edgebench.cli.groups import Group
from edgebench.cli.hints import as_options
from edgebench.cli.numbers import time_span
from edgebench.cli.options import executor_options, output_options, wait_idle_option
from edgebench.cli.output import check_json_target, console, progress_console, to_stdout, write_json
from edgebench.events import Event, LogMessage
from edgebench.text import harmless

_FILE = click.Path(path_type=Path)


def show_message(event: Event) -> None:
    """Show a message; other events are for live displays."""
    if isinstance(event, LogMessage):
        progress_console().print(as_options(event.text), markup=False)


@cloup.group("study", cls=Group)
def command() -> None:
    """A study: variants x formats x devices x workloads, and the contrasts to judge.

    \b
    Example:
      edgebench study run STUDY.toml
    """


@command.command("run")
@click.argument("file", type=_FILE, metavar="STUDY.toml")
@executor_options
@cloup.option(
    "--bench-wait",
    "bench_wait_s",
    callback=time_span,
    default="10m",
    show_default=True,
    metavar="TIME",
    help="With benches: how long a board may be offered by none before its cells are given up.",
)
@wait_idle_option
@output_options
def run(
    file: Path,
    executor: str,
    bench_wait_s: int,
    wait_idle_s: int | None,
    tls_ca_file: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    store: str,
    json_target: str | None,
) -> int:
    """Measure the missing cells of a study, then evaluate its tasks with the timed files.

    The runs of the variants are interleaved on each device, and devices are measured in parallel. The same command
    continues an interrupted study. With --executor dask://HOST:PORT, benches measure the cells on the boards that they
    offer (see 'edgebench bench start').

    \b
    Example:
      edgebench study run STUDY.toml --store results
    """
    from edgebench.benches import read_executor
    from edgebench.cli.measuring import measure_and_show
    from edgebench.cli.study_on_benches import measure_on_benches
    from edgebench.errors import gravest_error
    from edgebench.measurement import measurements_to_json
    from edgebench.store import open_store
    from edgebench.study import (
        evaluate_pending,
        missing_sessions,
        pending_evaluations,
        read_study,
        study_cells,
        within_reach,
    )

    check_json_target(json_target)
    scheduler = read_executor(executor, tls_ca_file=tls_ca_file, tls_cert=tls_cert, tls_key=tls_key)
    study, keep = read_study(file, any_device=scheduler is not None), open_store(store)
    if wait_idle_s is not None:
        study = replace(study, wait_idle_s=wait_idle_s)
    code, is_complete = 0, False
    if scheduler is not None:
        again = _command("run", file, executor, store, tls_ca_file, tls_cert, tls_key)
        results = measure_on_benches(
            study, keep, scheduler, bench_wait_s=bench_wait_s, json_target=json_target, again=again
        )
        code, is_complete = results.code, not results.any
    elif sessions := missing_sessions(study, keep, on_event=show_message):
        code = measure_and_show(sessions, store=keep, json_target=json_target, margin=study.margin)
    else:
        is_complete = True
        write_json(json_target, measurements_to_json([], failures={}))
    pending = pending_evaluations(study, study_cells(study, keep), keep)
    errors = evaluate_pending(
        study, pending if scheduler is None else within_reach(pending, show_message), keep, show_message
    )
    if errors:
        raise gravest_error(errors)
    keep.deliver()
    if is_complete and not pending:
        progress_console().print(f"nothing is missing; see: edgebench study report {file}", markup=False)
    return code


def _command(name: str, file: Path, executor: str, store: str, *tls: str | None) -> str:
    """Return the command that goes on."""
    words = ["edgebench", "study", name, str(file), "--executor", executor, "--store", store]
    for option, value in zip(("--tls-ca-file", "--tls-cert", "--tls-key"), tls, strict=True):
        words += [option, value] if value is not None else []
    return shlex.join(words)


@command.command("status")
@click.argument("file", type=_FILE, metavar="STUDY.toml")
@executor_options
@output_options
def status(
    file: Path,
    executor: str,
    tls_ca_file: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    store: str,
    json_target: str | None,
) -> None:
    """Show what is measured, what is missing, and the estimated time for it.

    With --executor dask://HOST:PORT, also who measures what just now, and which boards no bench offers.

    \b
    Example:
      edgebench study status STUDY.toml
    """
    from edgebench.benches import read_executor
    from edgebench.store import open_store
    from edgebench.study import read_study, read_study_of, study_bench_status, study_status

    check_json_target(json_target)
    keep = open_store(store)
    scheduler = read_executor(executor, tls_ca_file=tls_ca_file, tls_cert=tls_cert, tls_key=tls_key)
    study = read_study_of(file, keep) if scheduler is None else read_study(file, any_device=True)
    found = study_status(study, keep)
    benches = None if scheduler is None else study_bench_status(study, scheduler, on_event=show_message)
    write_json(json_target, found.to_json() | ({} if benches is None else {"benches": benches.to_json()}))
    if to_stdout(json_target):
        from edgebench.reporting import status_parts

        for part in status_parts(found):
            console().print(part, markup=False)
        for line in benches.lines() if benches is not None else ():
            console().print(line, markup=False)


@command.command("report")
@click.argument("file", type=_FILE, metavar="STUDY.toml")
@cloup.option("--markdown", type=_FILE, metavar="FILE", help="Also write the report as Markdown.")
@cloup.option("--html", type=_FILE, metavar="FILE", help="Also write a page with plots (extra: report).")
@cloup.option(
    "--allow-variant-scores", is_flag=True, help="Also use scores of another file of the variant, labelled as such."
)
@output_options
def report(
    file: Path,
    markdown: Path | None,
    html: Path | None,
    allow_variant_scores: bool,
    store: str,
    json_target: str | None,
) -> None:
    """Answer each contrast of a study from the stored measurements.

    \b
    Example:
      edgebench study report STUDY.toml --markdown report.md
    """
    from edgebench.store import open_store
    from edgebench.study import read_study_of, study_report

    for target in (json_target, markdown, html):
        check_json_target(str(target) if target is not None else None)
    keep = open_store(store)
    found = study_report(read_study_of(file, keep), keep, allow_variant_scores=allow_variant_scores)
    write_json(json_target, found.to_json())
    if to_stdout(json_target):
        from edgebench.reporting import study_parts

        for part in study_parts(found):
            console().print(part, markup=False)
    if markdown is not None:
        from edgebench.reporting import study_markdown

        _write(markdown, study_markdown(found))
    if html is not None:
        from edgebench.reporting.html import report as page

        again = f"edgebench study report {shlex.quote(str(file))} --html {shlex.quote(str(html))}"
        page(found, out=html, title=f"Study: {found.study.name}", store=store, command=again)


def _write(path: Path, text: str) -> None:
    from edgebench.errors import StoreError

    try:
        path.write_text(harmless(text), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"can't write {path}: {error.strerror}") from error
