"""What `edgebench evaluate` kept in the store, as scores of measured artifacts, with the result of each example."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from edgebench.analysis import SCORE_PROTOCOL, ExampleScores, with_caveats
from edgebench.errors import ScoresError
from edgebench.evaluation_result import LanguageEvaluation, TaskEvaluation
from edgebench.measurement import Measurement
from edgebench.store.store import Store
from edgebench.xtreme_r import ScoreRow, all_tasks, kinds_of


def stored_scores(
    store: Store,
    measurements: Iterable[Measurement],
    *,
    wanted: Callable[[LanguageEvaluation], bool] = lambda _: True,
    evaluations: Iterable[LanguageEvaluation] | None = None,
) -> tuple[list[ScoreRow], list[ExampleScores]]:
    """Return the scores of the very files that were timed, and what each example scored.

    Of several evaluations of a file on a task in a language, those of complete test sets come first, then those under
    the variant's own name, then the latest.

    Args:
        wanted: which evaluations of these files are taken.
        evaluations: those of the store, where the caller has read them.

    Raises:
        StoreError: an evaluation can't be read.
    """
    names: dict[str, set[str]] = {}
    for each in measurements:
        names.setdefault(each.subject.artifact.sha256, set()).add(each.subject.variant.name)
    chosen: dict[tuple[str, str, str, str], LanguageEvaluation] = {}
    known = store.evaluations() if evaluations is None else evaluations
    for evaluation in sorted(known, key=lambda each: (_completeness(each), each.started_at)):
        score = evaluation.scores[0]
        if score.artifact_sha256 not in names or not wanted(evaluation):
            continue
        for name in sorted(names[score.artifact_sha256]):
            key = (score.artifact_sha256, name, evaluation.task, evaluation.lang)
            other = chosen.get(key)
            # One file may be that of two checkpoints, whose labels differ: a variant's own evaluation is nearer.
            is_nearer = other is not None and other.scores[0].variant == name != score.variant
            if other is None or not is_nearer or _completeness(other) < _completeness(evaluation):
                chosen[key] = evaluation
    scores = [(name, score) for (_, name, _, _), each in chosen.items() for score in each.scores]
    return [_row(score, name) for name, score in scores], [_examples(score, name) for name, score in scores]


def merged_scores(
    rows: Sequence[ScoreRow], stored: Sequence[ScoreRow], examples: Sequence[ExampleScores]
) -> tuple[list[ScoreRow], list[ExampleScores]]:
    """Return the rows of a file of scores, with those of the store for what the file lacks; and the examples to them.

    The file takes precedence: of a variant's task and language that the file has, nothing of the store is left.

    Raises:
        ScoresError: the file has only some of the metrics of a task in a language that the store has: of question
            answering, F1 without exact match.
    """
    kept = with_stored(rows, stored)
    gone = {_key(row) for row in stored} - {_key(row) for row in kept[len(rows) :]}
    for variant, _, task, lang in sorted(gone, key=str):
        has = {row.metric for row in rows if (row.variant, row.task, row.lang) == (variant, task, lang)}
        if lacking := [metric for metric in all_tasks()[task].metrics if metric not in has]:
            raise ScoresError(
                f"the file of scores has {', '.join(sorted(has))} of {variant} on {task} in {lang}, and no "
                f"{', '.join(lacking)}; add it, or take the row out to use the scores that an evaluation stored"
            )
    return kept, [each for each in examples if _key(each) not in gone]


def _key(of: ScoreRow | ExampleScores) -> tuple[str | None, str | None, str, str]:
    return of.variant, of.artifact_sha256, of.task, of.lang


def with_stored(rows: Sequence[ScoreRow], stored: Sequence[ScoreRow]) -> list[ScoreRow]:
    """Return the rows of a file of scores, and from the store those of tasks and languages that the file lacks.

    A row of the file that names no format or artifact is about every file of its variant.
    """
    by_task: dict[tuple[str, str, str], list[ScoreRow]] = {}
    for row in rows:
        by_task.setdefault((row.variant, row.task, row.lang), []).append(row)

    def is_in_file(row: ScoreRow) -> bool:
        return any(
            other.format in (None, row.format) and other.artifact_sha256 in (None, row.artifact_sha256)
            for other in by_task.get((row.variant, row.task, row.lang), ())
        )

    return [*rows, *(row for row in stored if not is_in_file(row))]


def _completeness(evaluation: LanguageEvaluation) -> tuple[bool, bool]:
    """Return whether it is of the published test set's size, and whether it is of all examples that there were."""
    protocol = evaluation.scores[0].protocol
    of_all = protocol.get("limit") is None and protocol.get("split") == "test"
    return "partial" not in kinds_of(with_caveats(evaluation.scores[0]).caveats), of_all


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
        caveats=with_caveats(score).caveats,
    )


def _examples(score: TaskEvaluation, variant: str) -> ExampleScores:
    return ExampleScores(
        artifact_sha256=score.artifact_sha256,
        variant=variant,
        task=score.task,
        lang=score.lang,
        metric=score.metric,
        ids=score.ids,
        values=score.per_example,
        counts=score.counts,
        clusters=score.clusters,
        protocol={name: score.protocol[name] for name in SCORE_PROTOCOL if name in score.protocol},
    )
