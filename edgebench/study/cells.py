"""The cells of a study, one workload on one device each: what the store has of them, and how long the rest takes.

Only interleaved runs are compared. So a cell is done when one session has valid measurements of all variants, with
their current files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

from edgebench.analysis import is_same_workload
from edgebench.artifact import format_of_file
from edgebench.device import Device
from edgebench.measurement import Measurement, Subject
from edgebench.runtimes import formats_given_for
from edgebench.store import Store
from edgebench.study.file import Study
from edgebench.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyCell:
    """What the store has of one workload on one device.

    session: the latest session that has all variants; None where none has.
    have: the variants of which that session (else the one with most measurements) has valid measurements, by name.
    took_s: duration of that session, seconds; None where nothing is measured.
    """

    device: Device
    workload: Workload
    session: str | None
    have: tuple[str, ...]
    took_s: float | None
    measurements: tuple[Measurement, ...] = ()

    @property
    def done(self) -> bool:
        """Whether nothing is missing."""
        return self.session is not None


def study_cells(
    study: Study, store: Store, *, artifacts: Mapping[str, Collection[str]] | None = None
) -> list[StudyCell]:
    """Return the study's cells, in the order of its devices and workloads.

    Args:
        artifacts: by model, the hashes of its current files; measurements of other files don't count. None: files
            of any age count.

    Raises:
        StoreError: a run can't be read.
    """
    measured = _measured(study, store)
    return [
        _cell(study, device, workload, measured, artifacts) for device in study.devices for workload in study.workloads
    ]


def _measured(study: Study, store: Store) -> list[Measurement]:
    """Return the study's measurements, each with the name and lineage that the study gives its variant."""
    variants = {variant.source: variant for variant in study.variants}
    devices = {device.name for device in study.devices}

    def wanted(subject: Subject) -> bool:
        return subject.variant.source in variants and subject.device.name in devices

    return [
        replace(
            each,
            subject=replace(
                each.subject,
                variant=replace(variants[each.subject.variant.source], parameters=each.subject.variant.parameters),
            ),
        )
        for each in store.measurements_by_figures(wanted)
    ]


def _cell(
    study: Study,
    device: Device,
    workload: Workload,
    measured: Sequence[Measurement],
    artifacts: Mapping[str, Collection[str]] | None,
) -> StudyCell:
    sessions: dict[str, list[Measurement]] = {}
    for each in measured:
        if each.subject.device.name == device.name and _is_of(workload, each) and _is_current(each, artifacts):
            sessions.setdefault(each.subject.session, []).append(each)
    found = [
        (session, mine, _complete(study, mine))
        for session, mine in sessions.items()
        # The only file of its runtime runs alone, even in a session where others alternate.
        if any(each.subject.alternates_with for each in mine) == study.alternate
    ]
    complete = [(session, mine) for session, mine, names in found if len(names) == len(study.variants)]
    session, mine = complete[-1] if complete else (None, max((mine for _, mine, _ in found), key=len, default=[]))
    return StudyCell(
        device=device,
        workload=workload,
        session=session,
        have=tuple(_complete(study, mine)),
        took_s=_took_s(mine),
        measurements=tuple(mine),
    )


def _is_of(workload: Workload, measurement: Measurement) -> bool:
    return is_same_workload(workload.to_json(), measurement.subject.workload)


def _is_current(measurement: Measurement, artifacts: Mapping[str, Collection[str]] | None) -> bool:
    if artifacts is None:
        return True
    return measurement.subject.artifact.sha256 in artifacts[measurement.subject.variant.source]


def _complete(study: Study, measured: Sequence[Measurement]) -> list[str]:
    """Return the variants with valid measurements in every format of the study."""
    counts = [
        (
            variant.name,
            [each for each in measured if each.subject.variant.name == variant.name and _counts(study, each)],
        )
        for variant in study.variants
    ]
    return [name for name, mine in counts if _is_file(mine) or _has_formats(study, mine)]


def _has_formats(study: Study, measured: Sequence[Measurement]) -> bool:
    """Whether there is a measurement for each of a study's formats, in that one or the one that a runtime gets."""
    found = {each.subject.artifact.format for each in measured}
    return bool(found) and all(found & formats_given_for(format) for format in study.formats)


def _is_file(measured: Sequence[Measurement]) -> bool:
    """Whether these measure a model file, which has one format whatever the study's formats are."""
    return bool(measured) and format_of_file(Path(measured[0].subject.variant.source)) is not None


def _counts(study: Study, measurement: Measurement) -> bool:
    return sum(run.valid for run in measurement.runs) >= study.plan.runs


def _took_s(measured: Sequence[Measurement]) -> float | None:
    """Return how long these runs took: the number of processes times the median time from one to the next."""
    runs = [run for each in measured for run in each.runs]
    processes = {run.process: datetime.fromisoformat(run.started_at).timestamp() for run in runs}
    starts = sorted(processes.values())
    steps = [later - earlier for earlier, later in pairwise(starts)]
    return median(steps) * len(starts) if steps else None


def estimated_remaining_s(study: Study, cells: Sequence[StudyCell]) -> float | None:
    """Return how long the missing cells take, in seconds, at the pace of those that were measured on the same device.

    Devices are measured at once, so the slowest counts. None where a device has no measurement yet.
    """
    per_run: dict[str, list[float]] = {}
    for cell in cells:
        runs = sum(len(each.runs) for each in cell.measurements)
        if cell.took_s is not None:
            per_run.setdefault(cell.device.name, []).append(cell.took_s / runs)
    runs_of_cell = len(study.variants) * (len(study.formats) or 1) * study.plan.runs
    times: dict[str, float] = {}
    for cell in cells:
        if not cell.done:
            if cell.device.name not in per_run:
                return None
            run_s = median(per_run[cell.device.name])
            times[cell.device.name] = times.get(cell.device.name, 0.0) + run_s * runs_of_cell
    return max(times.values(), default=0.0)
