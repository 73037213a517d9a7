"""Digest: what a list of many runs needs of each, so that it reads neither documents nor traces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from edgebench.analysis import figures_of
from edgebench.measurement import Subject
from edgebench.reason import State
from edgebench.run import Run
from edgebench.stats import t_interval, typical

_MS = 1e6  # nanoseconds in a millisecond


class RunDigest(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `conditions`: governor, power mode and allowed clock in kHz, which must not differ between runs.

    `p50_ns`: None where the run has too few inferences, or is of an edgebench that did not store it.
    `trace_bytes`: size of its trace, where that is in a bucket.
    """

    id: str
    measurement: str
    session: str
    started_at: str
    variant: str
    is_reference: bool = False
    format: str
    device: str | None = None
    workload: str
    threads: int | None = None
    planned_runs: int
    valid: bool
    judged: bool | None = None
    p50_ns: float | None = None
    process: str = ""
    trace_bytes: int | None = None
    conditions: tuple[str | None, str | None, int | None] = (None, None, None)


def digest_of(subject: Subject, run: Run) -> RunDigest:
    """Return the digest of a run, with its trace or as it is stored."""
    board = run.facts.board
    figures = run.figures if run.figures is not None else figures_of(run)
    threads = subject.workload.get("threads")
    return RunDigest(
        id=run.id,
        measurement=subject.id,
        session=subject.session,
        started_at=run.started_at,
        variant=subject.variant.name,
        is_reference=subject.variant.is_reference,
        format=str(subject.artifact.format),
        device=subject.device.name,
        workload=subject.label,
        threads=threads if isinstance(threads, int) else None,
        planned_runs=subject.planned_runs,
        valid=run.valid,
        judged=run.judged,
        p50_ns=figures.p50_ns,
        process=run.process,
        conditions=(
            (board.governor, board.power_mode, max((board.clock_allowed_khz or {}).values(), default=None))
            if board is not None
            else (None, None, None)
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedMeasurement:
    """One line of a list of measurements. `valid_runs` of `planned_runs` count; `p50_ms` is the typical run's."""

    id: str
    session: str
    started_at: str
    variant: str
    is_reference: bool
    format: str
    device: str
    workload: str
    threads: int | None
    valid_runs: int
    planned_runs: int
    p50_ms: float | None
    p50_ci: tuple[float, float] | None
    state: State
    tags: tuple[str, ...] = ()


def listed(digests: Iterable[RunDigest]) -> list[ListedMeasurement]:
    """Return the measurements of these runs: by their session's first run, within a session by id."""
    runs: dict[str, list[RunDigest]] = {}
    for each in sorted(digests, key=lambda each: (each.started_at, each.id)):
        runs.setdefault(each.measurement, []).append(each)
    sessions = list(dict.fromkeys(of[0].session for of in runs.values()))
    position = {session: at for at, session in enumerate(sessions)}
    ordered = sorted(runs.values(), key=lambda of: (position[of[0].session], of[0].measurement))
    return [_listed(of) for of in ordered]


def _listed(runs: Sequence[RunDigest]) -> ListedMeasurement:
    import numpy as np

    of, valid = runs[-1], [each for each in runs if each.valid]
    p50_ms = [each.p50_ns / _MS for each in valid if each.p50_ns]
    values = np.asarray(p50_ms) if p50_ms and len(p50_ms) == len(valid) else None
    return ListedMeasurement(
        id=of.measurement,
        session=of.session,
        started_at=runs[0].started_at,
        variant=of.variant,
        is_reference=of.is_reference,
        format=of.format,
        device=of.device or "",
        workload=of.workload,
        threads=of.threads,
        valid_runs=len(valid),
        planned_runs=of.planned_runs,
        p50_ms=typical(values) if values is not None else None,
        p50_ci=t_interval(values) if values is not None else None,
        state=_state(of, runs, valid),
    )


def _state(of: RunDigest, runs: Sequence[RunDigest], valid: Sequence[RunDigest]) -> State:
    differs = any(len({*values} - {None}) > 1 for values in zip(*(each.conditions for each in valid), strict=True))
    if len(valid) < max(1, of.planned_runs) or differs:
        return State.NOT_VALID
    # A run that is not valid is judged by what spoke against it.
    is_judged = all(each.judged is not False for each in runs if each.valid)
    return State.VALID if is_judged else State.NOT_JUDGED
