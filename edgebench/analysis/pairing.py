"""join_scores(): a measurement and the scores of the very file that was timed, side by side.

A score belongs to an artifact by its hash, or to a variant, and is then labelled so. Scores of another artifact are
refused: a file may score well and another one of the same checkpoint run fast.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from edgebench.errors import NotComparable
from edgebench.figures import Score
from edgebench.measurement import Measurement
from edgebench.stats import align
from edgebench.text import printable
from edgebench.xtreme_r import ScoreRow, all_tasks, scores_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Whose a score is: of the timed file, of its variant (any file), or of another file of the variant.
OF_FILE, OF_VARIANT, OF_OTHER_FILE = "of this file", "of the variant", "of another file"

_Key = tuple[str, str, str]  # task, language, metric


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleScores:
    """What each example of a task in one language scored, in one metric. ids, values: shape (n,), 0..100 points.

    counts: shape (n, 3), of each example how many are correct, predicted and expected, where the metric is the F1 of
    their sums. protocol: what decides the score apart from the artifact, as far as both sides must have it alike.
    clusters: shape (n,), of each example which text it is about (the paragraph of a question), numbered in the order of
    the examples; None: not known, or each is about its own. variant: whose the scores are, where one file is that of
    several variants; None: of any.
    """

    artifact_sha256: str
    task: str
    lang: str
    metric: str
    ids: Sequence[str]
    values: NDArray[np.float64]
    counts: NDArray[np.int64] | None = None
    protocol: Mapping[str, Any] = field(default_factory=dict)
    clusters: Sequence[int] | None = None
    variant: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageScore:
    """A task's score in one language, 0..100: the mean of its metrics. `whose`: this file's, the variant's ...

    `caveats`: of any of the metrics.
    """

    task: str
    lang: str
    value: float
    whose: str
    n: int | None
    examples: ExampleScores | None = None
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredMeasurement:
    """A measurement and its scores. `left_out`: rows for the variant that belong to other files, and were not taken."""

    measurement: Measurement
    scores: tuple[LanguageScore, ...]
    left_out: int = 0

    @property
    def worst(self) -> LanguageScore | None:
        """The score of the language that scores worst; None without scores."""
        return min(self.scores, key=lambda score: score.value, default=None)

    def task_values(self) -> dict[str, float]:
        """Return each task's mean over the languages that are there."""
        found: dict[str, list[float]] = {}
        for score in self.scores:
            found.setdefault(score.task, []).append(score.value)
        return {task: sum(values) / len(values) for task, values in found.items()}


def join_scores(
    measurement: Measurement,
    rows: Sequence[ScoreRow],
    *,
    examples: Iterable[ExampleScores] = (),
    allow_variant_scores: bool = False,
) -> ScoredMeasurement:
    """Return a measurement with its scores, per task and language; a language that lacks a metric of its task is out.

    Args:
        rows: a file's scores; those of other variants don't matter. A reference model's weights are random: no scores.
        examples: what single examples scored; only those of the timed file are taken.
        allow_variant_scores: take scores of another file of the variant where this one has none, and label them.

    Raises:
        NotComparable: the variant has scores, but all are of other files.
    """
    subject = measurement.subject
    if subject.variant.is_reference:
        return ScoredMeasurement(measurement=measurement, scores=())
    format, sha256 = str(subject.artifact.format), subject.artifact.sha256
    mine = [row for row in rows if row.variant == subject.variant.name]
    ours = scores_of(mine, variant=subject.variant.name, format=format, artifact_sha256=sha256)
    whose = {
        (score.task, score.lang, score.metric): OF_FILE if score.artifact_sha256 is not None else OF_VARIANT
        for score in ours
    }
    values: dict[_Key, Score | ScoreRow] = {(score.task, score.lang, score.metric): score for score in ours}
    others = [row for row in mine if not _belongs(row, format, sha256)]
    if others and not ours and not allow_variant_scores:
        raise NotComparable(_refusal(measurement, others))
    if allow_variant_scores:
        for key, row in _of_other_files(measurement, others).items():
            if key not in values:
                values[key], whose[key] = row, OF_OTHER_FILE
    per_example = {
        (each.task, each.lang, each.metric): each
        for each in examples
        if each.artifact_sha256 == sha256 and each.variant in (None, subject.variant.name)
    }
    return ScoredMeasurement(
        measurement=measurement,
        scores=tuple(_by_language(values, whose, per_example)),
        left_out=0 if allow_variant_scores else len(others),
    )


def _belongs(row: ScoreRow, format: str, sha256: str) -> bool:
    return row.format in (None, format) and row.artifact_sha256 in (None, sha256)


def _refusal(measurement: Measurement, others: Sequence[ScoreRow]) -> str:
    subject, one = measurement.subject, others[0]
    other = " ".join(part for part in (one.format, one.artifact_sha256 and one.artifact_sha256[:12]) if part)
    return printable(
        f"the scores of {subject.variant.name} are of another file ({other}) than was timed "
        f"({subject.artifact.format} {subject.artifact.sha256[:12]}); score that one, or accept "
        f"them with a label: `allow_variant_scores=True`"
    )


def _of_other_files(measurement: Measurement, others: Sequence[ScoreRow]) -> dict[tuple[str, str, str], ScoreRow]:
    """Return the row of each task, language and metric: of this format where there is one; never one of several."""
    format = str(measurement.subject.artifact.format)
    found: dict[tuple[str, str, str], list[ScoreRow]] = {}
    for row in others:
        found.setdefault((row.task, row.lang, row.metric), []).append(row)
    chosen = {}
    for (task, lang, metric), rows in found.items():
        nearest = [row for row in rows if row.format == format] or rows
        if len(nearest) > 1:
            raise NotComparable(
                f"{metric} of {printable(nearest[0].variant)} on {task} in {lang} is there for {len(nearest)} other "
                f"files; keep one of them, or score the file that was timed"
            )
        chosen[task, lang, metric] = nearest[0]
    return chosen


def _by_language(
    values: Mapping[_Key, Score | ScoreRow],
    whose: Mapping[_Key, str],
    per_example: Mapping[_Key, ExampleScores],
) -> Iterable[LanguageScore]:
    for task in all_tasks().values():
        for lang in dict.fromkeys(lang for name, lang, _ in values if name == task.name):
            keys = [(task.name, lang, metric) for metric in task.metrics]
            if not all(key in values for key in keys):
                continue
            labels = {whose[key] for key in keys}
            value = sum(values[key].value for key in keys) / len(keys)
            parts = [per_example[key] for key in keys if key in per_example]
            yield LanguageScore(
                task=task.name,
                lang=lang,
                value=value,
                whose=weakest(labels),
                n=values[keys[0]].n,
                caveats=tuple(dict.fromkeys(caveat for key in keys for caveat in values[key].caveats)),
                examples=_mean_of_metrics(parts) if len(parts) == len(keys) and labels == {OF_FILE} else None,
            )


def weakest(labels: Collection[str]) -> str:
    """Return the label of a score that was made of several: the one that promises least."""
    return next(label for label in (OF_OTHER_FILE, OF_VARIANT, OF_FILE) if label in labels)


def _mean_of_metrics(parts: Sequence[ExampleScores]) -> ExampleScores:
    """Return the mean of an example's metrics: of QA, F1 and EM."""
    if len(parts) == 1:
        return parts[0]
    first, total = parts[0], 0 * parts[0].values
    for part in parts:
        _, values = align((first.ids, total), (part.ids, part.values))
        total = total + values / len(parts)
    return replace(first, metric=" + ".join(part.metric for part in parts), values=total, counts=None)
