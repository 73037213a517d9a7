"""Results: what a report is about, by kind, and the measurements in groups that may share an axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edgebench.analysis import Comparison, Evaluation, PairedComparison
from edgebench.errors import UsageError
from edgebench.gating import GateHistory, GateResult
from edgebench.measurement import Measurement
from edgebench.reporting.table import variant_name
from edgebench.study import StudyReport
from edgebench.text import counted

T = TypeVar("T")
Result = Measurement | Evaluation | Comparison | PairedComparison | GateResult | GateHistory | StudyReport

#: More runs than this make a page that no browser shows well, and take minutes to read.
MOST_RUNS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The results by kind. `measurements` has those of comparisons and studies, too, each once."""

    measurements: tuple[Measurement, ...] = ()
    comparisons: tuple[PairedComparison, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    gates: tuple[GateResult, ...] = ()
    histories: tuple[GateHistory, ...] = ()
    studies: tuple[StudyReport, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Measurements of one session, board and workload. `names`: of each, by its id, distinct in the group."""

    title: str
    measurements: tuple[Measurement, ...]
    names: dict[str, str]

    def name(self, measurement: Measurement) -> str:
        """Return what the group calls a measurement."""
        return self.names[measurement.id]


def sort_results(results: Iterable[Result]) -> Results:
    """Return the results by kind.

    Raises:
        UsageError: there are none, one is something else, or they have too many runs for a page.
    """
    everything = list(results)
    for each in everything:
        if not isinstance(each, _KINDS):
            raise UsageError(f"a report is made of results, not of a {type(each).__name__}")
    if not everything:
        raise UsageError("nothing to report: no measurement, evaluation, comparison, gate or study was chosen")
    studies = _of(StudyReport, everything)
    comparisons = (
        *_of(PairedComparison, everything),
        *(PairedComparison(comparison=each) for each in _of(Comparison, everything)),
    )
    of_studies = [each for study in studies for answer in study.answers for each in answer.comparisons]
    sides = [
        side for each in (*comparisons, *of_studies) for side in (each.comparison.baseline, each.comparison.candidate)
    ]
    measurements = list({each.id: each for each in (*_of(Measurement, everything), *sides)}.values())
    check_count(sum(len(each.runs) for each in measurements))
    return Results(
        measurements=tuple(measurements),
        comparisons=comparisons,
        evaluations=_of(Evaluation, everything),
        gates=_of(GateResult, everything),
        histories=_of(GateHistory, everything),
        studies=studies,
    )


_KINDS = (Measurement, Evaluation, Comparison, PairedComparison, GateResult, GateHistory, StudyReport)


def _of(kind: type[T], results: Iterable[object]) -> tuple[T, ...]:
    return tuple(each for each in results if isinstance(each, kind))


def check_count(runs: int) -> None:
    """Refuse more runs than a page holds.

    Raises:
        UsageError: there are more.
    """
    if runs > MOST_RUNS:
        raise UsageError(
            f"{counted(runs, 'run')} are more than a page holds ({MOST_RUNS:,}); choose fewer: `session`, `variant`, "
            f"`since`, or export them: edgebench runs export"
        )


def groups_of(measurements: Sequence[Measurement]) -> list[Group]:
    """Return the measurements in groups whose latencies may share an axis: of one session, board and workload."""
    found: dict[tuple[object, ...], list[Measurement]] = {}
    for each in measurements:
        found.setdefault(_circumstances(each), []).append(each)
    several_sessions = len({each.subject.session for each in measurements}) > 1
    return [
        Group(title=_title(mine[0], with_session=several_sessions), measurements=tuple(mine), names=_names(mine))
        for mine in found.values()
    ]


def by_board(measurements: Sequence[Measurement]) -> list[Group]:
    """Return the measurements in groups of one session and board, whatever the language: for plots by language."""
    found: dict[tuple[object, ...], list[Measurement]] = {}
    for each in measurements:
        found.setdefault(_board(each), []).append(each)
    return [
        Group(
            title=f"{mine[0].subject.device.name}, session {mine[0].subject.session}",
            measurements=tuple(mine),
            names={each.id: _name(each) for each in mine},
        )
        for mine in found.values()
    ]


def _board(measurement: Measurement) -> tuple[object, ...]:
    subject, device = measurement.subject, measurement.subject.device
    return (subject.session, device.name, device.model, device.serial_hash, device.governor, device.power_mode)


def _circumstances(measurement: Measurement) -> tuple[object, ...]:
    workload = measurement.subject.workload
    keys = ("scenario", "batch", "threads", "padding", "queries_per_s", "choices")
    return (*_board(measurement), measurement.subject.label, *(workload.get(key) for key in keys))


def _title(measurement: Measurement, *, with_session: bool) -> str:
    subject = measurement.subject
    workload = subject.workload
    parts = [subject.device.name or "board", subject.label, str(workload.get("scenario") or "")]
    parts += [f"batch {workload['batch']}"] if workload.get("batch") else []
    parts += [counted(int(workload["threads"]), "thread")] if workload.get("threads") else []
    parts += [each for each in (subject.device.governor, subject.device.power_mode) if each]
    parts += [f"session {subject.session}"] if with_session else []
    return ", ".join(part for part in parts if part)


def _name(measurement: Measurement) -> str:
    return f"{variant_name(measurement.subject.variant)} {measurement.subject.artifact.format}"


def _names(measurements: Sequence[Measurement]) -> dict[str, str]:
    plain = [_name(each) for each in measurements]
    return {
        each.id: name if plain.count(name) == 1 else f"{name} ({each.id[-3:]})"
        for each, name in zip(measurements, plain, strict=True)
    }
