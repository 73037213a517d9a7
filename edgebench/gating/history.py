"""gate_history(): the ratios to the anchor over time, and where they changed.

Raw latencies of different sessions are not comparable. The ratio to the anchor is, because both files were measured in
one session; so a gap in time does no harm, and is only reported. Another board under the same name makes a new series.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from edgebench.errors import StoreError, UnknownName
from edgebench.gating.records import kept_results
from edgebench.serialisation import from_plain
from edgebench.stats import change_points
from edgebench.store import Store, open_store
from edgebench.text import counted, printable

#: What makes it the same board.
_IDENTITY = ("model", "arch", "cpu", "cores", "memory_bytes", "serial_hash")
#: A gap is longer than this, and than so many times the usual distance of two gates.
_GAP = timedelta(days=7)
_GAP_TIMES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPoint:
    """One gate: the candidate's latency relative to the anchor. `is_change`: a new level begins here."""

    gate: str
    started_at: str
    candidate: str
    artifact_sha256: str
    ratio: float
    interval: tuple[float, float] | None
    result: str
    is_change: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        interval = list(self.interval) if self.interval is not None else None
        return {name: getattr(self, name) for name in self.__slots__} | {"interval": interval}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateHistory:
    """The gates of one board, workload and anchor, the oldest first.

    `levels`: the typical ratio from each change on, the first from the beginning; None where changes were not searched.
    `notes`: gaps, and other boards of the same name.
    """

    device: str
    board: str
    workload: str
    anchor: str
    points: tuple[HistoryPoint, ...]
    levels: tuple[float, ...] | None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        series = f"{self.device}, {self.workload}, against {self.anchor}"
        return printable(f"<GateHistory {series}: {counted(len(self.points), 'gate')}>")

    def to_json(self) -> dict[str, Any]:
        """Return one entry of `histories` in `history --json`."""
        return {
            "device": self.device,
            "board": self.board,
            "workload": self.workload,
            "anchor": self.anchor,
            "points": [each.to_json() for each in self.points],
            "levels": list(self.levels) if self.levels is not None else None,
            "notes": list(self.notes),
        }


def gate_history(
    name: str | None = None, *, store: Store | str | Path | None = None, changes: bool = True
) -> list[GateHistory]:
    """Return the histories that a store has: one for each board, workload and anchor.

    Args:
        name: of a board, an anchor, a workload or a candidate's variant; None: all.
        store: a Store or its folder, as for `profile`.
        changes: search for changes of the level.

    Raises:
        UnknownName: no gate has that name.
        StoreError: a result can't be read, or is of a newer version.
        MissingExtra: `changes`, and ruptures is not installed.

    Change points by PELT on normal scores of ranks; see `edgebench.stats.change_points`.
    """
    keep = open_store(store)
    rows = [row for values in kept_results(keep) for row in _rows(values, where=f"{keep.location}/gates")]
    if name is not None:
        known = {each for row in rows for each in row.names}
        if name not in known:
            raise UnknownName("name", name, known, hint="of a board, anchor, workload or variant that a gate measured")
        rows = [row for row in rows if name in row.names]
    series: dict[tuple[str, ...], list[_Row]] = {}
    for row in rows:
        series.setdefault(row.key, []).append(row)
    return [_history(of, list(series.values()), changes=changes) for of in series.values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    device: str
    board: str
    workload: str
    anchor: str
    anchor_sha256: str
    point: HistoryPoint

    @property
    def key(self) -> tuple[str, ...]:
        return self.device, self.board, self.workload, self.anchor_sha256

    @property
    def names(self) -> tuple[str, ...]:
        return self.device, self.workload, self.anchor, self.point.candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredBudget:
    workload: str | None
    ratio: float | None
    interval: tuple[float, float] | None = None
    result: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredAnchor:
    name: str
    artifact_sha256: str
    budgets: tuple[_StoredBudget, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredCandidate:
    variant: str
    artifact_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredGate:
    """What a history needs of a gate's document."""

    id: str
    started_at: str
    device: Mapping[str, Any]
    candidate: _StoredCandidate
    anchor: _StoredAnchor | None = None


def _rows(values: Mapping[str, Any], *, where: str) -> list[_Row]:
    stored = from_plain(_StoredGate, values, where=where, error=StoreError, allow_unknown=True)
    if stored.anchor is None:
        return []
    board = ", ".join(_shown(name, stored.device[name]) for name in _IDENTITY if stored.device.get(name) is not None)
    return [
        _Row(
            device=str(stored.device.get("name")),
            board=board,
            workload=budget.workload or "",
            anchor=stored.anchor.name,
            anchor_sha256=stored.anchor.artifact_sha256,
            point=HistoryPoint(
                gate=stored.id,
                started_at=stored.started_at,
                candidate=stored.candidate.variant,
                artifact_sha256=stored.candidate.artifact_sha256,
                ratio=budget.ratio,
                interval=budget.interval,
                result=budget.result,
            ),
        )
        for budget in stored.anchor.budgets
        if budget.ratio is not None
    ]


def _shown(name: str, value: object) -> str:
    match name, value:
        case "memory_bytes", int():
            return f"{value / 1e9:.1f} GB"
        case "cores", _:
            return f"{value} cores"
        case "serial_hash", _:
            return f"serial {str(value)[:8]}"
        case _:
            return str(value)


def _history(rows: Sequence[_Row], every: Sequence[Sequence[_Row]], *, changes: bool) -> GateHistory:
    import numpy as np

    first = rows[0]
    ratios = np.array([row.point.ratio for row in rows])
    found = change_points(ratios) if changes else []
    borders = [0, *found, len(rows)]
    levels = [float(np.exp(np.median(np.log(ratios[a:b])))) for a, b in pairwise(borders)]
    twins = {of[0].board for of in every if of[0].device == first.device and of[0].board != first.board}
    notes = [
        f"another board had the name {first.device}, and has a history of its own: {board}" for board in sorted(twins)
    ]
    return GateHistory(
        device=first.device,
        board=first.board,
        workload=first.workload,
        anchor=rows[-1].anchor,
        points=tuple(replace(row.point, is_change=at in found) for at, row in enumerate(rows)),
        levels=tuple(levels) if changes else None,
        notes=(*notes, *_gaps([datetime.fromisoformat(row.point.started_at) for row in rows])),
    )


def _gaps(times: Sequence[datetime]) -> list[str]:
    """Return what to say of spans without a gate that are much longer than usual."""
    spans = [later - earlier for earlier, later in pairwise(times)]
    if not spans:
        return []
    usual = sorted(spans)[len(spans) // 2]
    return [
        f"no gate from {before:%Y-%m-%d} to {after:%Y-%m-%d} ({span.days} days)"
        for (before, after), span in zip(pairwise(times), spans, strict=True)
        if span > max(_GAP, _GAP_TIMES * usual if len(spans) > 1 else _GAP)
    ]
