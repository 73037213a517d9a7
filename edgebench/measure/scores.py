"""XTREME-R scores from a file, attached to the measurements of a session."""

from __future__ import annotations

from collections.abc import Sequence

from edgebench.events import LogMessage, OnEvent
from edgebench.figures import Score
from edgebench.measurement import Subject
from edgebench.variant import Variant
from edgebench.xtreme_r import ScoreRow, scores_of


def report_unused_scores(rows: Sequence[ScoreRow], variants: Sequence[Variant], on_event: OnEvent) -> None:
    """Report the names of scores that belong to none of the variants."""
    scored = {row.variant for row in rows}
    for name in sorted(scored - {variant.name for variant in variants}):
        on_event(LogMessage(f"scores of {name!r} are not used: no model has that name"))
    for name in sorted(scored & {variant.name for variant in variants if variant.is_reference}):
        on_event(LogMessage(f"scores of {name!r} are not used: its weights are random"))


def scores_for(subject: Subject, rows: Sequence[ScoreRow]) -> list[Score]:
    """Return the scores of a subject's variant and file; random weights have none."""
    if subject.variant.is_reference:
        return []
    return scores_of(
        rows,
        variant=subject.variant.name,
        format=str(subject.artifact.format),
        artifact_sha256=subject.artifact.sha256,
    )
