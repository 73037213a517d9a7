"""Histories: what a store knows of the sessions of the boards whose measurements are compared."""

from __future__ import annotations

from collections.abc import Sequence

from edgebench.analysis import SessionHistory, is_one_session, session_history
from edgebench.errors import StoreError
from edgebench.measurement import Measurement
from edgebench.store.store import Store


def session_histories(store: Store, pairs: Sequence[tuple[Measurement, Measurement]]) -> list[SessionHistory | None]:
    """Return the history for each (baseline, candidate); None where one session measured both.

    A run that can't be read does not end a comparison; a history with it does not speak.
    """
    apart = [not is_one_session(*pair) for pair in pairs]
    if not any(apart):
        return [None for _ in pairs]
    names = {baseline.subject.device.name for (baseline, _), is_apart in zip(pairs, apart, strict=True) if is_apart}
    unreadable: list[StoreError] = []
    stored = store.measurements_by_figures(
        lambda subject: subject.device.name in names, on_unreadable=unreadable.append
    )
    return [
        session_history(*pair, stored, unreadable=len(unreadable)) if is_apart else None
        for pair, is_apart in zip(pairs, apart, strict=True)
    ]
