"""More runs beside the runs of before: two sessions of one row, which are not pooled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgebench.measurement import Measurement
from edgebench.reporting.figures import with_interval
from edgebench.text import printable


def extension_lines(pairs: Sequence[tuple[Measurement, Measurement]]) -> Iterator[str]:
    """Yield, for each row, its p50 in the session of before and in the further one.

    Args:
        pairs: (before, further) of each row.
    """
    if not pairs:
        return
    before, further = (each.subject.session for each in pairs[0])
    yield f"session {further} repeats {before}; each is judged by itself, because sessions differ:"
    for pair in pairs:
        subject = pair[1].subject
        figures = [
            f"p50 {with_interval(each.latency_ms.p50, each.latency_ms.p50_ci) or 'not measured'} ms "
            f"({sum(run.valid for run in each.runs)} runs)"
            for each in pair
        ]
        name = printable(f"{subject.variant.name} {subject.artifact.format} {subject.label}")
        yield f"  {name}: before {figures[0]}, now {figures[1]}"
