"""What `profile` and `runs resume` share: measure with a live display, show what came out, survive Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Protocol

import click

from edgebench.cli.live import LiveDisplay
from edgebench.cli.output import console, progress_console, to_stdout, write_json
from edgebench.measurement import Measurement, measurements_to_json
from edgebench.report.table import measurement_table

if TYPE_CHECKING:
    from edgebench.events import OnEvent
    from edgebench.store import Store

NOT_VALID = 4


class Measure(Protocol):
    """A session that is ready to go: call it, and it tells how it goes on."""

    def __call__(self, *, on_event: OnEvent) -> list[Measurement]: ...


def measure_and_show(sessions: Sequence[Measure], *, store: Store, json_target: str | None) -> int:
    """Carry sessions out one after the other, show their table and JSON; return the exit code.

    Raises:
        KeyboardInterrupt: after showing what was measured and the command to resume.
    """
    measurements: list[Measurement] = []
    display = LiveDisplay(progress_console())
    try:
        with _terminated_like_interrupted(), display:
            for measure in sessions:
                measurements += measure(on_event=display)
    except KeyboardInterrupt:
        if display.session is not None:
            measurements += store.measurements(session=display.session)
            _show(measurements, json_target)
            click.echo(
                f"edgebench: what was measured is in {store.folder}; go on with: "
                f"edgebench runs resume {display.session} --store {store.folder}",
                err=True,
            )
        raise
    _show(measurements, json_target)
    return 0 if all(measurement.valid for measurement in measurements) else NOT_VALID


def _show(measurements: list[Measurement], json_target: str | None) -> None:
    write_json(json_target, measurements_to_json(measurements))
    if to_stdout(json_target) and measurements:
        console().print(measurement_table(measurements))
        return
    for measurement in measurements:
        for reason in measurement.reasons:
            click.echo(f"edgebench: {measurement.subject.variant.name}: not valid: {reason}", err=True)


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
