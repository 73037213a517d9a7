"""Pilot runs: short runs that do not count, to learn how long the others take."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

from edgebench.errors import RunFailed
from edgebench.measure.budget import SUSTAINED_COST, Cost, pilot_plan, shared_cost_of
from edgebench.measure.context import Session
from edgebench.measure.recorder import Row
from edgebench.measure.runs import RunEnded, measure_runs


def measure_pilots(session: Session, rows: Sequence[Row], missing: Sequence[int]) -> list[Cost | None]:
    """Return the cost of a run of each row; None where none is missing, or where its pilot failed.

    A sustained run needs no pilot: its plan says how long it takes.
    """
    if session.request.plan.sustained_min is not None:
        return [SUSTAINED_COST for _ in rows]
    if any(missing):
        session.log("timing a short run of each row, which does not count")
    return [_measure_pilot(session, row) if runs else None for row, runs in zip(rows, missing, strict=True)]


def _measure_pilot(session: Session, row: Row) -> Cost | None:
    session.power.apply(row[0].power)
    began_s = time.monotonic()
    try:
        runs = measure_runs(
            session,
            row,
            pilot_plan(session.request.plan),
            run_ids=[f"{cell.subject.id}-pilot-{secrets.token_hex(2)}" for cell in row],
        )
    except RunEnded as ended:
        if isinstance(ended.why, RunFailed):
            return None  # the first run that counts will fail the same way and report why
        raise ended.why from ended
    return shared_cost_of(runs, time.monotonic() - began_s)
