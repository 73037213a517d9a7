"""Resuming a session: the runs that the store has of it, if they were measured under the present conditions."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from edgebench.board.archive import agent_archive
from edgebench.errors import StoreError
from edgebench.measure.cells import Cell
from edgebench.measure.probes.rate_finder import searched_id
from edgebench.measure.runs import INTERRUPTED
from edgebench.measurement import Measurement, Run
from edgebench.store.store import Store

#: What must not change between the runs of one Measurement.
_SAME_BOARD = (
    "model",
    "arch",
    "cpu",
    "cpu_features",
    "cores",
    "memory_bytes",
    "os",
    "kernel",
    "python",
    "governor",
    "power_mode",
    "runtime_version",
)


def stored_runs(store: Store, session: str, cells: Sequence[Cell]) -> dict[str, list[Run]]:
    """Return the runs that the store has of each cell.

    Raises:
        StoreError: the conditions changed since they were measured.
    """
    done: dict[str, list[Run]] = {cell.subject.id: [] for cell in cells}
    by_id = {cell.subject.id: cell for cell in cells}
    for stored in store.measurements(session=session):
        cell = by_id.get(searched_id(stored.id))
        changed = "the request" if cell is None else _what_changed(cell, stored)
        if changed:
            raise StoreError(f"session {session} can't go on: {changed} changed since it began; start a new one")
        done.setdefault(stored.id, []).extend(run for run in stored.runs if INTERRUPTED not in run.reasons)
    return _without_orphans(done)


def _without_orphans(done: Mapping[str, Sequence[Run]]) -> dict[str, list[Run]]:
    """Leave out processes of alternating models of which a killed session stored some runs, but not all."""
    kept = Counter(run.process for runs in done.values() for run in runs)

    def is_complete(run: Run) -> bool:
        return not run.alternates or kept[run.process] == run.facts["alternating"].get("models")

    return {id: [run for run in runs if is_complete(run)] for id, runs in done.items()}


def _what_changed(cell: Cell, stored: Measurement) -> str | None:
    now, then = cell.subject, stored.subject
    if now.artifact.sha256 != then.artifact.sha256:
        return "the model file"
    found = {"queries_per_s": then.workload.get("queries_per_s")} if "latency_bound_ms" in now.workload else {}
    if dict(now.workload) | found != dict(then.workload):
        return "the workload"
    for name in _SAME_BOARD:
        if now.device.get(name) != then.device.get(name):
            return f"the board's {name}"
    inputs = hashlib.sha256(cell.inputs.to_bytes()).hexdigest()
    for run in stored.runs:
        if run.facts.get("inputs_sha256", inputs) != inputs:
            return "the inputs"
        if run.facts.get("agent_sha256") not in (None, agent_archive()[1]):
            return "edgebench itself"
    return None
