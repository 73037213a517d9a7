"""What `profile` and `runs resume` share: measure with a live display, show the results, handle Ctrl-C."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

import click

from edgebench.analysis import tuned
from edgebench.cli.hints import as_options
from edgebench.cli.live import LiveDisplay
from edgebench.cli.output import check_json_target, console, progress_console, to_stdout, write_json
from edgebench.errors import EdgebenchError, ExportError, RunFailed, UsageError, gravest_error
from edgebench.measure import BoardResult, Measure, run_sessions
from edgebench.measurement import Measurement, measurements_to_json
from edgebench.reason import ReasonCode
from edgebench.report import measurement_table, tables_below
from edgebench.stats import MARGIN
from edgebench.text import printable
from edgebench.xtreme_r import ScoreRow, scores_of

if TYPE_CHECKING:
    from edgebench.store import Store

NOT_VALID = 4
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
) -> int:
    """Run one session per board in parallel, show their table and JSON, and return the exit code.

    Args:
        scores: also shown with the measurements of a session that ended early.
        margin: equivalence margin of the verdicts.

    Raises:
        KeyboardInterrupt, EdgebenchError: after showing what was measured and the command to resume.
    """
    check_json_target(json_target)
    with terminated_like_interrupted(), LiveDisplay(progress_console(), tuple(sessions)) as display:
        results = run_sessions(sessions, on_event=display)
    failed = [result for result in results if result.error is not None]
    for result in failed:
        result.measurements = _stored(result.session, store, scores)
    measurements = [measurement for result in results for measurement in result.measurements]
    failures = {result.device: str(result.error) for result in failed if isinstance(result.error, EdgebenchError)}
    try:
        if measurements or not failed:
            _show(measurements, json_target, margin, failures)
    except EdgebenchError as second:
        if not failed:
            raise
        click.echo(f"edgebench: {second}", err=True)
    for result in failed:
        _show_resume_command(result, store)
    if failed:
        if len(results) > 1:
            _print_errors(failed)
        raise gravest_error([result.error for result in failed if result.error is not None])
    return 0 if all(measurement.valid for measurement in measurements) else NOT_VALID


def _show_resume_command(result: BoardResult, store: Store) -> None:
    if result.session is None or not (result.measurements or isinstance(result.error, KeyboardInterrupt)):
        return
    if isinstance(result.error, UsageError | ExportError) or (
        isinstance(result.error, RunFailed) and result.error.kind in PERMANENT
    ):
        click.echo(f"edgebench: what was measured is in {store.folder}", err=True)
        return
    folder = shlex.quote(str(store.folder))
    click.echo(
        f"edgebench: what was measured is in {store.folder}; go on with: "
        f"edgebench runs resume {result.session} --store {folder}",
        err=True,
    )


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


def _show(measurements: list[Measurement], json_target: str | None, margin: float, failures: Mapping[str, str]) -> None:
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


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Handle SIGTERM (a cancelled CI job) like Ctrl-C: end the run on the board and keep the measurements."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
