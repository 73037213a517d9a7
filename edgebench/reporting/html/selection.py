"""Selection: which stored results the names on a command line stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgebench.errors import UsageError
from edgebench.gating import gate_history, stored_gate
from edgebench.measure import scores_for
from edgebench.measurement import Measurement
from edgebench.reporting.html.results import Result, check_count
from edgebench.store import (
    EVERYTHING,
    Selection,
    Store,
    compare_stored,
    is_file_name,
    measurement_ids,
    stored_scores,
)
from edgebench.store.runs import OnUnreadable


def chosen_results(
    store: Store,
    names: Sequence[str] = (),
    *,
    where: Selection = EVERYTHING,
    pairs: Sequence[tuple[str, str]] = (),
    gates: Sequence[str] = (),
    histories: Sequence[str] = (),
    on_unreadable: OnUnreadable | None = None,
) -> list[Result]:
    """Return stored results.

    Args:
        names: ids of measurements or sessions, or how they begin, or files of `profile --json`; nothing at all (no
            `where`, no other results) stands for the latest session.
        where: which measurements, in the place of names or among them.
        pairs: (baseline, candidate), as `compare_stored` takes them.
        gates: ids of gates, or how they begin; `latest`.
        histories: names as `gate_history` takes them.

    Raises:
        UsageError: nothing fits, or it has too many runs for a page.
        StoreError: the store can't be read.
    """
    found: list[Result] = [stored_gate(store, id) for id in gates]
    for baseline, candidate in pairs:
        found += compare_stored(baseline, candidate, store=store)
    for name in histories:
        found += gate_history(name, store=store)
    if names or where != EVERYTHING or not found:
        found += _measurements(store, names, where, on_unreadable)
    return found


def _measurements(
    store: Store, names: Sequence[str], where: Selection, on_unreadable: OnUnreadable | None
) -> list[Measurement]:
    wanted = [id for name in names for id in _ids(store, name)]
    if not wanted and where == EVERYTHING:
        where = Selection(session=_latest(store))
    check_count(store.count_runs(where, ids=wanted))
    found = store.select(where, ids=wanted, on_unreadable=on_unreadable)
    if not found:
        raise UsageError(store.why_nothing_fits(where) if where != EVERYTHING else "nothing fits")
    rows, _ = stored_scores(store, found)
    return [replace(each, scores=tuple(scores_for(each.subject, rows))) for each in found]


def _ids(store: Store, name: str) -> list[str]:
    return measurement_ids(Path(name)) if is_file_name(name) else store.ids(name)


def _latest(store: Store) -> str:
    sessions = {each.session for each in store.subjects()}
    if not sessions:
        raise UsageError(f"nothing to report: {store.location} holds no measurement; try: edgebench profile")
    return max(sessions)
