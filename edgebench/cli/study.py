"""edgebench study: a matrix of variants, formats, devices and workloads."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import click
import cloup

from edgebench.cli.groups import Group
from edgebench.cli.options import output_options, wait_idle_option
from edgebench.cli.output import check_json_target, console, progress_console, to_stdout, write_json
from edgebench.text import harmless

_FILE = click.Path(path_type=Path)


@cloup.group("study", cls=Group)
def command() -> None:
    """A study: variants x formats x devices x workloads, and the contrasts to judge.

    \b
    Example:
      edgebench study run STUDY.toml
    """


@command.command("run")
@click.argument("file", type=_FILE, metavar="STUDY.toml")
@wait_idle_option
@output_options
def run(file: Path, wait_idle_s: int | None, store: Path, json_target: str | None) -> int:
    """Measure the missing cells of a study, then evaluate its tasks with the timed files.

    The runs of the variants are interleaved on each device, and devices are measured in parallel. The same command
    continues an interrupted study.

    \b
    Example:
      edgebench study run STUDY.toml --store results
    """
    from edgebench.cli.hints import as_options
    from edgebench.cli.measuring import measure_and_show
    from edgebench.errors import gravest_error
    from edgebench.events import Event, LogMessage
    from edgebench.measurement import measurements_to_json
    from edgebench.store import Store
    from edgebench.study import evaluate_pending, missing_sessions, pending_evaluations, read_study, study_cells

    def show_message(event: Event) -> None:
        if isinstance(event, LogMessage):
            progress_console().print(as_options(event.text), markup=False)

    check_json_target(json_target)
    study, keep = read_study(file), Store(store)
    if wait_idle_s is not None:
        study = replace(study, wait_idle_s=wait_idle_s)
    sessions = missing_sessions(study, keep, on_event=show_message)
    code = 0
    if sessions:
        code = measure_and_show(sessions, store=keep, json_target=json_target, margin=study.margin)
    else:
        write_json(json_target, measurements_to_json([], failures={}))
    pending = pending_evaluations(study, study_cells(study, keep), keep)
    errors = evaluate_pending(study, pending, keep, show_message)
    if errors:
        raise gravest_error(errors)
    if not sessions and not pending:
        progress_console().print(f"nothing is missing; see: edgebench study report {file}", markup=False)
    return code


@command.command("status")
@click.argument("file", type=_FILE, metavar="STUDY.toml")
@output_options
def status(file: Path, store: Path, json_target: str | None) -> None:
    """Show what is measured, what is missing, and the estimated time for it.

    \b
    Example:
      edgebench study status STUDY.toml
    """
    from edgebench.store import Store
    from edgebench.study import read_study, study_status

    check_json_target(json_target)
    found = study_status(read_study(file), Store(store))
    write_json(json_target, found.to_json())
    if to_stdout(json_target):
        from edgebench.reporting import status_parts

        for part in status_parts(found):
            console().print(part, markup=False)


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
    store: Path,
    json_target: str | None,
) -> None:
    """Answer each contrast of a study from the stored measurements.

    \b
    Example:
      edgebench study report STUDY.toml --markdown report.md
    """
    from edgebench.store import Store
    from edgebench.study import read_study, study_report

    for target in (json_target, markdown, html):
        check_json_target(str(target) if target is not None else None)
    found = study_report(read_study(file), Store(store), allow_variant_scores=allow_variant_scores)
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
