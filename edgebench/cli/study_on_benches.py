"""What `study run` does with benches: progress in lines, results as of any session, and how to go on."""

from __future__ import annotations

from dataclasses import dataclass

import click

from edgebench.benches import CellOutcome, Scheduler
from edgebench.cli.hints import as_options
from edgebench.cli.interrupts import last_line
from edgebench.cli.measuring import NOT_VALID, show_results
from edgebench.cli.output import progress_console
from edgebench.errors import EdgebenchError, UsageError, gravest_error
from edgebench.events import Event, LogMessage
from edgebench.store import Store
from edgebench.study import Study, run_cells_on_benches
from edgebench.text import printable


@dataclass(frozen=True, slots=True)
class BenchResults:
    """The exit code, and whether there was any cell to measure."""

    code: int
    any: bool


def measure_on_benches(
    study: Study, store: Store, scheduler: Scheduler, *, bench_wait_s: float, json_target: str | None, again: str
) -> BenchResults:
    """Have the missing cells measured by benches, and show them as `measure_and_show` does.

    Args:
        again: the command that goes on, for whoever interrupts this one.

    Raises:
        KeyboardInterrupt, EdgebenchError: after showing what was measured; the last line says how to go on.
    """
    ended: list[CellOutcome] = []

    def show(event: Event) -> None:
        if isinstance(event, LogMessage):
            progress_console().print(as_options(event.text), markup=False)

    def note(outcome: CellOutcome) -> None:
        ended.append(outcome)
        task = outcome.task
        how = "measured" if outcome.error is None else printable(str(outcome.error), 1000)
        show(LogMessage(f"{len(ended)}: {task.device}, {task.workload}: {how}"))

    last_line.say(f"what was measured is in {store.location}; go on with: {again}")
    try:
        results = run_cells_on_benches(study, store, scheduler, bench_wait_s=bench_wait_s, on_event=show, on_done=note)
    except UsageError:
        last_line.say(None)  # the same command would fail again
        raise
    measurements = [each for result in results for each in result.measurements]
    errors = {result.device: result.error for result in results if result.error is not None}
    failures = {device: str(error) for device, error in errors.items() if isinstance(error, EdgebenchError)}
    if measurements or not errors:
        show_results(measurements, json_target, study.margin, failures)
    if errors:
        for device, error in errors.items() if len(results) > 1 else ():
            click.echo(f"edgebench: {device} ended early: {printable(str(error), 2000)}", err=True)
        raise gravest_error(list(errors.values()))
    last_line.say(None)
    return BenchResults(0 if all(each.valid for each in measurements) else NOT_VALID, bool(results))
