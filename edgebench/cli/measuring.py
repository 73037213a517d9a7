"""What `profile` and `runs resume` share: measure with a live display, show what came out, survive Ctrl-C."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Protocol

import click

from edgebench.cli.live import LiveDisplay
from edgebench.cli.output import check_json_target, console, progress_console, to_stdout, write_json
from edgebench.errors import EdgebenchError
from edgebench.measurement import Measurement, measurements_to_json
from edgebench.printable import printable
from edgebench.report.below import tables_below
from edgebench.report.table import measurement_table
from edgebench.stats.verdicts import MARGIN
from edgebench.xtreme_r.scores import ScoreRow, scores_of

if TYPE_CHECKING:
    from edgebench.events import OnEvent
    from edgebench.store import Store

NOT_VALID = 4


class Measure(Protocol):
    """A session that is ready to go: call it, and it tells how it goes on."""

    def __call__(self, *, on_event: OnEvent) -> list[Measurement]: ...


def measure_and_show(
    sessions: Sequence[Measure],
    *,
    store: Store,
    json_target: str | None,
    scores: Sequence[ScoreRow] = (),
    margin: float = MARGIN,
) -> int:
    """Carry sessions out one after the other, show their table and JSON; return the exit code.

    `scores` are put beside what a session that ended early had measured. `margin`: of what was measured until decided.

    Raises:
        KeyboardInterrupt, EdgebenchError: after showing what was measured and the command to resume.
    """
    check_json_target(json_target)
    measurements: list[Measurement] = []
    display = LiveDisplay(progress_console())
    try:
        with _terminated_like_interrupted(), display:
            for measure in sessions:
                measurements += measure(on_event=display)
                display.session = None
    except (KeyboardInterrupt, EdgebenchError) as error:
        stored = _stored(display.session, store, scores)
        known = {measurement.id for measurement in measurements}
        measurements += [measurement for measurement in stored if measurement.id not in known]
        try:
            if measurements:
                _show(measurements, json_target, margin)
        except EdgebenchError as second:
            click.echo(f"edgebench: {second}", err=True)
        if display.session is not None and (stored or isinstance(error, KeyboardInterrupt)):
            folder = shlex.quote(str(store.folder))
            click.echo(
                f"edgebench: what was measured is in {store.folder}; go on with: "
                f"edgebench runs resume {display.session} --store {folder}",
                err=True,
            )
        raise
    _show(measurements, json_target, margin)
    return 0 if all(measurement.valid for measurement in measurements) else NOT_VALID


def _stored(session: str | None, store: Store, scores: Sequence[ScoreRow]) -> list[Measurement]:
    """Return what the store has of a session that ended early; that it can't be read is said, but comes second."""
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


def _show(measurements: list[Measurement], json_target: str | None, margin: float) -> None:
    if to_stdout(json_target) and measurements:
        console().print(measurement_table(measurements))
        for measurement in measurements:
            for part in tables_below(measurement):
                console().print(part, markup=False)
        for line in _decided(measurements, margin):
            console().print(line, markup=False)
    else:
        for measurement in measurements:
            for reason in measurement.reasons:
                name = printable(measurement.subject.variant.name)
                click.echo(f"edgebench: {name}: not valid: {printable(reason)}", err=True)
    # Last: the figures are on the screen even where the file can't be written.
    write_json(json_target, measurements_to_json(measurements))


def _decided(measurements: Sequence[Measurement], margin: float) -> Iterator[str]:
    """Yield the verdicts of rows that were measured until they were decided."""
    from edgebench.comparison import MUST_MATCH, compare_pairs, pairs_with_the_first

    pairs = pairs_with_the_first([each for each in measurements if each.subject.looks > 1])
    if pairs:
        yield ""
        yield from (each.verdict for each in compare_pairs(pairs, margin=margin, allow=(*MUST_MATCH, "runtime")))


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """A CI job that is cancelled gets SIGTERM: end the run on the board and keep what was measured, as for Ctrl-C."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
