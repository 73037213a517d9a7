"""What `edgebench evaluate` kept in the store, as scores of measured artifacts, with the result of each example."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from edgebench.analysis import SCORE_PROTOCOL, ExampleScores
from edgebench.evaluation_result import LanguageEvaluation, TaskEvaluation
from edgebench.measurement import Measurement
from edgebench.store.store import Store
from edgebench.xtreme_r import ScoreRow


def stored_scores(
    store: Store,
    measurements: Iterable[Measurement],
    *,
    wanted: Callable[[LanguageEvaluation], bool] = lambda _: True,
) -> tuple[list[ScoreRow], list[ExampleScores]]:
    """Return the scores of the very files that were timed, and what each example scored.

    Of several evaluations of a file on a task in a language, those of complete test sets come first, then the latest.

    Args:
        wanted: which evaluations of these files are taken.

    Raises:
        StoreError: an evaluation can't be read.
    """
    names: dict[str, set[str]] = {}
    for each in measurements:
        names.setdefault(each.subject.artifact.sha256, set()).add(each.subject.variant.name)
    chosen: dict[tuple[str, str, str], LanguageEvaluation] = {}
    for evaluation in sorted(store.evaluations(), key=_rank):
        sha256 = evaluation.scores[0].artifact_sha256
        if sha256 in names and wanted(evaluation):
            chosen[sha256, evaluation.task, evaluation.lang] = evaluation
    scores = [score for evaluation in chosen.values() for score in evaluation.scores]
    rows = [_row(score, name) for score in scores for name in sorted(names[score.artifact_sha256])]
    return rows, [_examples(score) for score in scores]


def with_stored(rows: Sequence[ScoreRow], stored: Sequence[ScoreRow]) -> list[ScoreRow]:
    """Return the rows of a file of scores, and from the store those of tasks and languages that the file lacks."""
    known = {(row.variant, row.artifact_sha256, row.task, row.lang) for row in rows}
    return [*rows, *(row for row in stored if (row.variant, row.artifact_sha256, row.task, row.lang) not in known)]


def _rank(evaluation: LanguageEvaluation) -> tuple[bool, str]:
    protocol = evaluation.scores[0].protocol
    return protocol.get("limit") is None and protocol.get("split") == "test", evaluation.started_at


def _row(score: TaskEvaluation, variant: str) -> ScoreRow:
    protocol = score.protocol
    return ScoreRow(
        variant=variant,
        task=score.task,
        lang=score.lang,
        metric=score.metric,
        value=score.value,
        format=score.format,
        artifact_sha256=score.artifact_sha256,
        n=score.n,
        source=score.to_score().source,
        runtime=protocol.get("runtime"),
        batch=protocol.get("batch"),
        padding=protocol.get("padding"),
    )


def _examples(score: TaskEvaluation) -> ExampleScores:
    return ExampleScores(
        artifact_sha256=score.artifact_sha256,
        task=score.task,
        lang=score.lang,
        metric=score.metric,
        ids=score.ids,
        values=score.per_example,
        counts=score.counts,
        clusters=score.clusters,
        protocol={name: score.protocol[name] for name in SCORE_PROTOCOL if name in score.protocol},
    )
