"""What `profile` and `runs resume` share: measure with a live display, show the results, handle Ctrl-C."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from edgebench.analysis import tuned
from edgebench.cli.hints import as_options
from edgebench.cli.interrupts import last_line
from edgebench.cli.live import LiveDisplay
from edgebench.cli.output import check_json_target, console, progress_console, to_stdout, write_json
from edgebench.errors import EdgebenchError, ExportError, RunFailed, UsageError, gravest_error
from edgebench.events import Began, Event
from edgebench.measure import BoardResult, Measure, run_sessions
from edgebench.measurement import Measurement, measurements_to_json
from edgebench.reason import ReasonCode
from edgebench.reporting import measurement_table, tables_below
from edgebench.stats import MARGIN
from edgebench.text import counted, printable
from edgebench.xtreme_r import ScoreRow, scores_of

if TYPE_CHECKING:
    from edgebench.store import Store

NOT_VALID = 4
_ENDED_EARLY = (ReasonCode.INTERRUPTED, ReasonCode.FAILED)
_TOO_SHORT = (ReasonCode.TOO_FEW_OBSERVATIONS, ReasonCode.NO_COMPLETE_PASS)
#: Kinds of failures of a run that come back however often it is tried.
PERMANENT = (
    "model_rejected",
    "inputs_rejected",
    "outputs_rejected",
    "runtime_missing",
    "runtime_broken",
    "refused",
    "bad_request",
)


def measure_and_show(
    sessions: Mapping[str, Measure],
    *,
    store: Store,
    json_target: str | None,
    scores: Sequence[ScoreRow] = (),
    margin: float = MARGIN,
    host: str | None = None,
) -> int:
    """Run one session per board in parallel, show their table and JSON, and return the exit code.

    Args:
        scores: also shown with the measurements of a session that ended early.
        margin: equivalence margin of the verdicts.
        host: address of a board that edgebench.toml does not name; the command to resume has it, too.

    Raises:
        KeyboardInterrupt, EdgebenchError: after showing what was measured and the command to resume.
    """
    check_json_target(json_target)
    began: list[str] = []
    with LiveDisplay(progress_console(), tuple(sessions)) as display:

        def show_event(board: str, event: Event) -> None:
            if isinstance(event, Began):
                began.append(event.session)
                last_line.say(_how_to_go_on(began, store, host))
            display(board, event)

        results = run_sessions(sessions, on_event=show_event)
    failed = [result for result in results if result.error is not None]
    for result in failed:
        result.measurements = _stored(result.session, store, scores)
    measurements = [measurement for result in results for measurement in result.measurements]
    failures = {result.device: str(result.error) for result in failed if isinstance(result.error, EdgebenchError)}
    try:
        if measurements or not failed:
            show_results(measurements, json_target, margin, failures)
    except EdgebenchError as second:
        if not failed:
            raise
        click.echo(f"edgebench: {second}", err=True)
    kept, how_to_go_on = _what_was_kept(failed, store, host)
    last_line.say(f"{kept}; {how_to_go_on}" if how_to_go_on else None)
    if kept and not how_to_go_on:
        click.echo(f"edgebench: {kept}", err=True)
    if failed:
        if len(results) > 1:
            _print_errors(failed)
        try:
            store.deliver()
        except EdgebenchError as second:
            click.echo(f"edgebench: {printable(str(second), 2000)}", err=True)
        raise gravest_error([result.error for result in failed if result.error is not None])
    store.deliver()
    return 0 if all(measurement.valid for measurement in measurements) else NOT_VALID


def _what_was_kept(failed: Sequence[BoardResult], store: Store, host: str | None) -> tuple[str, str]:
    """Return what is in the store of sessions that ended early, and how to go on with them; empty: not at all."""
    results = [result for result in failed if result.session is not None]
    if not results:
        return "", ""
    runs = [run for result in results for each in result.measurements for run in each.runs]
    early = sum(any(reason.code in _ENDED_EARLY for reason in run.reasons) for run in runs)
    what = f"what was measured is in {printable(store.location)}: {counted(len(runs), 'run')}"
    what += f", {early} of them cut short, which never counts" if early else ""
    go_on = [result.session for result in results if result.session is not None and not _is_permanent(result)]
    return what, _how_to_go_on(go_on, store, host) if go_on else ""


def _how_to_go_on(sessions: Sequence[str], store: Store, host: str | None) -> str:
    where = f" --store {shlex.quote(store.location)}" + ("" if host is None else f" --host {shlex.quote(host)}")
    commands = (f"edgebench runs resume {session}{where}" for session in sessions)
    return printable(f"go on with: {'; '.join(commands)}", 2000)


def _is_permanent(result: BoardResult) -> bool:
    """Whether the error comes back however often it is tried."""
    error = result.error
    return isinstance(error, UsageError | ExportError) or (isinstance(error, RunFailed) and error.kind in PERMANENT)


def _print_errors(failed: Sequence[BoardResult]) -> None:
    for result in failed:
        if not isinstance(result.error, KeyboardInterrupt):
            click.echo(f"edgebench: {result.device} ended early: {printable(str(result.error), 2000)}", err=True)


def _stored(session: str | None, store: Store, scores: Sequence[ScoreRow]) -> list[Measurement]:
    """Return the stored measurements of a session that ended early; an unreadable store is only reported."""
    if session is None:
        return []
    try:
        return [_with_scores(each, scores) for each in store.measurements(session=session)]
    except EdgebenchError as error:
        click.echo(f"edgebench: {error}", err=True)
        return []


def _with_scores(measurement: Measurement, rows: Sequence[ScoreRow]) -> Measurement:
    variant, artifact = measurement.subject.variant, measurement.subject.artifact
    found = scores_of(rows, variant=variant.name, format=str(artifact.format), artifact_sha256=artifact.sha256)
    return replace(measurement, scores=tuple(found))


def show_results(
    measurements: list[Measurement], json_target: str | None, margin: float, failures: Mapping[str, str]
) -> None:
    """Show the table of measurements and what stands below it, and write the JSON."""
    if to_stdout(json_target) and measurements:
        console().print(measurement_table(measurements))
        for measurement in measurements:
            for part in tables_below(measurement):
                console().print(part, markup=False)
        for line in (*_advice(measurements), *_decided(measurements, margin), *tuned_lines(measurements, margin)):
            console().print(line, markup=False)
    else:
        for measurement in measurements:
            for reason in measurement.doubts:
                name = printable(measurement.subject.variant.name)
                click.echo(f"edgebench: {name}: {measurement.state}: {printable(reason)}", err=True)
    # Written last, so that the figures are shown even if the file can't be written.
    found = tuned(measurements, margin=margin)
    document = measurements_to_json(measurements, failures=failures)
    write_json(json_target, document if found is None else document | {"tune": found.to_json()})


def _advice(measurements: Sequence[Measurement]) -> Iterator[str]:
    """Yield which options help runs that ended too early."""
    if any(reason.code in _TOO_SHORT for each in measurements for run in each.runs for reason in run.reasons):
        yield as_options("runs that ended too early: raise `max_duration_s`, or lower `min_count`")


def _decided(measurements: Sequence[Measurement], margin: float) -> Iterator[str]:
    """Yield the verdicts of rows that were measured until decided, or in alternation."""
    from edgebench.analysis import compare_rows

    compared = compare_rows(
        [
            each
            for each in measurements
            if each.subject.looks > 1 or each.subject.alternates_with or each.subject.extends
        ],
        margin=margin,
    )
    if compared:
        yield ""
        yield from (each.verdict for each in compared)


def tuned_lines(measurements: Sequence[Measurement], margin: float = MARGIN) -> list[str]:
    """Return what a tuned session found, as lines below the table; empty if nothing was tuned."""
    found = tuned(measurements, margin=margin)
    return ["", found.sentence] if found is not None else []
