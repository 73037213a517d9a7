"""Resuming a session: the runs that the store has of it, if they were measured under the present conditions."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from edgebench.analysis import changed_on_board
from edgebench.board import agent_archive
from edgebench.errors import StoreError
from edgebench.measure.cells import Cell
from edgebench.measure.probes.rate_finder import searched_id
from edgebench.measure.runs import INTERRUPTED
from edgebench.measurement import Measurement
from edgebench.run import Run
from edgebench.store import Store


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
        alternating = run.facts.alternating
        return alternating is None or kept[run.process] == alternating.models

    return {id: [run for run in runs if is_complete(run)] for id, runs in done.items()}


def _what_changed(cell: Cell, stored: Measurement) -> str | None:
    now, then = cell.subject, stored.subject
    if now.artifact.sha256 != then.artifact.sha256:
        return "the model file"
    found = {"queries_per_s": then.workload.get("queries_per_s")} if "latency_bound_ms" in now.workload else {}
    if dict(now.workload) | found != dict(then.workload):
        return "the workload"
    if (changed := changed_on_board(now.device, then.device)) is not None:
        return changed
    inputs = hashlib.sha256(cell.inputs.to_bytes()).hexdigest()
    for run in stored.runs:
        if run.facts.inputs_sha256 not in (None, inputs):
            return "the inputs"
        if run.facts.agent_sha256 not in (None, agent_archive()[1]):
            return "edgebench itself"
    return None
