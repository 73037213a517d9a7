"""Runs that ended on the board while this machine was away: fetched once, judged as any others, and stored.

A run needs no connection once it is launched. If the host is killed, or can't store what it received, the journal stays
on the board. `resume` takes it from there, by the run's id: one that the store has is not taken again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from edgebench import ending
from edgebench.analysis import validate_group, with_ratios
from edgebench.board import BoardRun, PowerState
from edgebench.errors import AgentError, BoardError, LeaseLost
from edgebench.measure.alternation import rotation_order, rows_of
from edgebench.measure.cells import Cell
from edgebench.measure.collect import taker
from edgebench.measure.context import Session
from edgebench.measure.probes.rate_finder import plan_at
from edgebench.measure.recorder import Row, keep_runs
from edgebench.measure.runs import collectors_of, failed_run, partial_runs
from edgebench.run import Run

#: The id of a run that counts, after that of its subject: see `run_ids`.
_SUFFIX = re.compile(r"-\d{3}-[0-9a-f]{4}(?:-(\d+))?")

#: How a run ends whose host was away, through no fault of its own.
_ENDED_EARLY = ("interrupted", "lease_expired", "lease_lost")


def take_ended_runs(session: Session, cells: Sequence[Cell], idle: Mapping[PowerState, Mapping[str, Any]]) -> list[str]:
    """Store the session's runs that the board has and the store does not; return the ids of their processes.

    A run that still goes on is followed to its end. What can't be taken is reported, and stays on the board.

    Args:
        idle: as for `RunRecorder`.

    Raises:
        StoreError: one can't be stored.
        ConnectionLost, LeaseLost.
    """
    rows = rows_of(cells, session.request)
    partial = session.store.interrupted_runs(session.id)
    taken = []
    for found in _runs_on_board(session):
        order = _order_of(found, rows)
        if order is None:
            continue
        missing = [id for id in _ids(found, order) if id in partial or not session.store.has_run(id)]
        if not missing:
            continue
        if found.state == "lost":
            session.log(f"run {found.id} can't be taken: its journal was in the board's memory, and is gone")
            continue
        try:
            with ending.deferred():
                is_taken = _take(session, found, order, idle, partial)
        except LeaseLost:
            raise
        except (AgentError, BoardError) as error:
            session.log(f"run {found.id} ({found.state}) stays on the board and is not taken: {error}")
            continue
        taken += [found.id] if is_taken else []
    return taken


def _runs_on_board(session: Session) -> list[BoardRun]:
    """Return the session's runs that the board has; where it can't list them, that is reported."""
    try:
        return session.agent.runs(f"{session.id}-")
    except LeaseLost:
        raise
    except (AgentError, BoardError) as error:
        session.log(f"what ended on {session.agent.name} meanwhile stays there and is not taken: {error}")
        return []


def _order_of(found: BoardRun, rows: Sequence[Row]) -> Row | None:
    """Return the cells of a run in the order of its models; None: it is none that counts, or of another request."""
    for row in rows:
        for cell in row:
            match = _SUFFIX.fullmatch(found.id.removeprefix(cell.subject.id))
            if match is None:
                continue
            if (match[1] is not None) != (len(row) > 1):
                return None
            order = tuple(rotation_order(row, int(match[1] or 0)))
            return order if order[0] is cell else None
    return None


def _ids(found: BoardRun, order: Row) -> list[str]:
    """Return the ids of the runs of a process, in the order of its models."""
    suffix = found.id.removeprefix(order[0].subject.id)
    return [cell.subject.id + suffix for cell in order]


def _take(
    session: Session,
    found: BoardRun,
    order: Row,
    idle: Mapping[PowerState, Mapping[str, Any]],
    partial: Mapping[str, int],
) -> bool:
    """Fetch and store one process's runs; return whether there was anything that the store did not have.

    `partial`: the runs that are stored as far as they were received, and how many latencies of each.
    """
    agent = session.agent
    plan = plan_at(order[0], session.request.plan)
    spec, collectors = collectors_of(session, order, plan, run_ids=_ids(found, order))
    take = taker(spec, collectors, name=agent.name, is_past=True)
    runs: Sequence[Run]
    try:
        for entry in agent.follow(found.id):
            take(entry)
        runs = [collector.run() for collector in collectors]
        if (failed := collectors[0].failed) is not None:
            early = failed.kind in _ENDED_EARLY
            runs = (
                partial_runs(collectors, KeyboardInterrupt()) if early else failed_run(agent, order, runs, failed).runs
            )
    except AgentError as error:
        if not collectors[0].has_begun:
            raise
        runs = partial_runs(collectors, error)
    if collectors[0].is_done:
        runs = [replace(run, facts=run.facts.adding(idle[order[0].power])) for run in runs]
        runs = with_ratios(validate_group(runs, plan, margin=session.request.margin))
    started_at = _started_at(session, found, runs[0])
    runs = [replace(run, started_at=started_at) for run in runs]
    pairs = [
        (cell, run)
        for cell, run in zip(order, runs, strict=True)
        if not session.store.has_run(run.id)
        or (run.id in partial and (collectors[0].is_done or len(run.latencies_ns) > partial[run.id]))
    ]
    if not pairs:
        return False
    keep_runs(session, pairs, replacing=True)
    state = "" if collectors[0].is_done else ", which ended early and does not count"
    session.log(f"run {found.id}{state}, was on the board and is in the store now")
    return True


def _started_at(session: Session, found: BoardRun, run: Run) -> str:
    """Return when a process began: as stored with another run of it, else by the board's clock.

    A board without a clock of its own may be years off. Then it is the time at which the run is taken.
    """
    for measurement in session.store.measurements(session=session.id, on_unreadable=lambda _: None):
        for stored in measurement.runs:
            if stored.process == found.id:
                return stored.started_at
    try:
        by_board = datetime.fromisoformat(run.facts.started_at or "")
        began = datetime.strptime(session.id[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        if began <= by_board <= datetime.fromisoformat(run.started_at):
            return by_board.astimezone(UTC).isoformat(timespec="milliseconds")
    except (ValueError, TypeError):  # no time, or one without its zone
        pass
    return run.started_at
