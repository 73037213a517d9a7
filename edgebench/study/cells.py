"""What the store has of a study: each workload on each device, and how long the rest takes.

What is compared must be measured interleaved. So a workload on a device is done when one session has valid
measurements of all variants, as they are now.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from statistics import median

from edgebench.analysis.comparability import is_same_workload
from edgebench.device import Device
from edgebench.measurement import Measurement, Subject
from edgebench.store.store import Store
from edgebench.study.file import Study
from edgebench.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyCell:
    """One workload on one device: what the store has of it. `session`: the one that counts, the latest complete one.

    `have`: the names of the variants that the best session has valid measurements of. `took_s`: that session, from its
    first run to its last; None where nothing is measured.
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
    """Return each workload on each device, with what the store has of it.

    Args:
        artifacts: the hashes of each model's files as they are now, by the model; what was measured of others does not
            count. None: whatever the store has of the model.

    Raises:
        StoreError: a run can't be read.
    """
    measured = _measured(study, store)
    return [
        _part(study, device, workload, measured, artifacts) for device in study.devices for workload in study.workloads
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


def _part(
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
        # A file that is the only one of its runtime is by itself in a session where others alternate.
        if any(each.subject.alternates_with for each in mine) == study.alternate
    ]
    whole = [(session, mine) for session, mine, names in found if len(names) == len(study.variants)]
    session, mine = whole[-1] if whole else (None, max((mine for _, mine, _ in found), key=len, default=[]))
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
    """Return the variants with valid measurements in every format that this session should have them in."""
    wanted = len(study.formats) or 1
    counts = [
        (
            variant.name,
            [each for each in measured if each.subject.variant.name == variant.name and _counts(study, each)],
        )
        for variant in study.variants
    ]
    return [name for name, mine in counts if _is_file(mine) or len(mine) >= wanted]


def _is_file(measured: Sequence[Measurement]) -> bool:
    """Whether these are of a model file, which is in one format whatever the study's formats are."""
    return bool(measured) and measured[0].subject.variant.source.endswith((".onnx", ".tflite"))


def _counts(study: Study, measurement: Measurement) -> bool:
    return sum(run.valid for run in measurement.runs) >= study.plan.runs


def _took_s(measured: Sequence[Measurement]) -> float | None:
    """Return how long these runs took: the typical time from a process to the next, for each of them."""
    runs = [run for each in measured for run in each.runs]
    processes = {run.process: datetime.fromisoformat(run.started_at).timestamp() for run in runs}
    starts = sorted(processes.values())
    steps = [later - earlier for earlier, later in pairwise(starts)]
    return median(steps) * len(starts) if steps else None


def estimated_remaining_s(study: Study, parts: Sequence[StudyCell]) -> float | None:
    """Return about how long what is missing takes, as long as what was measured took; None where nothing tells.

    Devices are measured at once: the one that takes longest counts.
    """
    per_run: dict[str, list[float]] = {}
    for part in parts:
        runs = sum(len(each.runs) for each in part.measurements)
        if part.took_s is not None:
            per_run.setdefault(part.device.name, []).append(part.took_s / runs)
    runs_of_part = len(study.variants) * (len(study.formats) or 1) * study.plan.runs
    times: dict[str, float] = {}
    for part in parts:
        if not part.done:
            if part.device.name not in per_run:
                return None
            run_s = median(per_run[part.device.name])
            times[part.device.name] = times.get(part.device.name, 0.0) + run_s * runs_of_part
    return max(times.values(), default=0.0)
