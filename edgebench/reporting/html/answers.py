"""The answer of a report in words: the library's own sentences, and first of all what is not valid."""

from __future__ import annotations

from collections.abc import Iterator

from edgebench.analysis import compare_rows
from edgebench.errors import NotComparable
from edgebench.measurement import Measurement
from edgebench.reason import State, joined
from edgebench.reporting.html.results import Results
from edgebench.reporting.table import summary_line
from edgebench.text import counted

_MOST_SUMMARIES = 12  # sentences about single measurements; the table has all


def warning_of(results: Results) -> str | None:
    """Return the first line of a report whose measurements are not all valid; None where they are."""
    bad = [each for each in results.measurements if each.state is State.NOT_VALID]
    open_ = [each for each in results.measurements if each.state is State.NOT_JUDGED]
    of = counted(len(results.measurements), "measurement")
    said = []
    if bad:
        reasons = joined(dict.fromkeys(reason for each in bad for reason in each.reasons))
        said.append(f"NOT VALID: {len(bad)} of {of}: {reasons}")
    if open_:
        said.append(f"NOT JUDGED: {len(open_)} of {of}: the runs are too short for the rules")
    return "; ".join(said) or None


def answers_of(results: Results) -> tuple[str, ...]:
    """Return the sentences that answer: verdicts, or where nothing is compared what was measured."""
    return tuple(dict.fromkeys(_sentences(results)))


def _sentences(results: Results) -> Iterator[str]:
    for gate in results.gates:
        device = gate.device.get("name")
        yield f"Gate on {device}, {gate.candidate.name} against {gate.baseline.name}: {gate.sentence}"
    for study in results.studies:
        yield from (answer.verdict for answer in study.answers)
        yield from (f"missing: {each}" for each in study.missing)
    yield from (each.verdict for each in results.comparisons)
    for evaluation in results.evaluations:
        who = f"{evaluation.variant.name} {evaluation.artifact.format} on {evaluation.device.name}"
        yield f"{who} scores {', '.join(f'{name} {value:.1f}' for name, value in evaluation.tasks.items())}"
    for history in results.histories:
        yield _of_history(history.device, history.workload, history.anchor, history.levels)
    if not (results.gates or results.studies or results.comparisons):
        yield from _of_measurements(results.measurements)


def _of_history(device: str, workload: str, anchor: str, levels: tuple[float, ...] | None) -> str:
    where = f"{device}, {workload}, ratio to {anchor}"
    if not levels:
        return f"{where}: changes were not searched for"
    if len(levels) == 1:
        return f"{where}: no change found; level {levels[0]:.3f}"
    return f"{where}: {counted(len(levels) - 1, 'change')}; levels {' -> '.join(f'{each:.3f}' for each in levels)}"


def _of_measurements(measurements: tuple[Measurement, ...]) -> Iterator[str]:
    for session in dict.fromkeys(each.subject.session for each in measurements):
        try:
            compared = compare_rows([each for each in measurements if each.subject.session == session])
        except NotComparable:  # rows of one session that are of different kinds: each is described by itself
            continue
        yield from (each.verdict for each in compared)
    yield from (summary_line(each) for each in measurements[:_MOST_SUMMARIES])
    if (more := len(measurements) - _MOST_SUMMARIES) > 0:
        yield f"{counted(more, 'more measurement')}: see the table"
