"""Progress of a run, reported while it is measured."""

from __future__ import annotations

import time
from collections.abc import Callable

from edgebench.events import Running
from edgebench.measure.cells import Cell
from edgebench.measure.collect import RunCollector
from edgebench.measure.context import Session

#: So often, seconds, a run in progress is reported.
PROGRESS_EVERY_S = 0.2


def progress_reporter(session: Session, cell: Cell, number: int) -> Callable[[RunCollector], None]:
    """Return a watcher for run `number` of a cell, which reports its progress a few times a second."""
    request = session.request
    last_s = float("-inf")

    def report(collector: RunCollector) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s < PROGRESS_EVERY_S:
            return
        last_s = now_s
        recent = sorted(collector.recent_ns)
        session.on_event(
            Running(
                cell.subject,
                number,
                request.looks[-1],
                collector.phase,
                collector.count,
                recent[len(recent) // 2] if recent else None,
                collector.temperature_mc,
                collector.timed_s / 60 if request.plan.sustained_min is not None else None,
            )
        )

    return report
