"""Decoding: turns a model's outputs into predictions of a task, and scores each example."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from edgebench.errors import ConfigError, UnknownName
from edgebench.reading import parse_json, read_text
from edgebench.text import counted
from edgebench.xtreme_r import metrics
from edgebench.xtreme_r.encoding import TaskInputs
from edgebench.xtreme_r.example_types import Examples, Question
from edgebench.xtreme_r.metrics import SEQEVAL_VERSIONS, Normaliser
from edgebench.xtreme_r.retrieval import nearest_candidates
from edgebench.xtreme_r.tasks import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: As in run_qa.py: number of best starts and ends that are combined, and the longest answer in tokens.
N_BEST = 20
MAX_ANSWER_LEN = 30
TOP = 20

#: The head that a task needs, by its group or name: the class in transformers, and the task of `edgebench export`.
_HEADS = {
    "classification": ("XLMRobertaForSequenceClassification", "sequence-classification"),
    "xcopa": ("XLMRobertaForMultipleChoice", "multiple-choice"),
    "tagging": ("XLMRobertaForTokenClassification", "token-classification"),
    "qa": ("XLMRobertaForQuestionAnswering", "question-answering"),
    "retrieval": ("XLMRobertaModel", "encoder"),
}
_GENERIC = re.compile(r"(?:LABEL_)?(\d+)")

Row: TypeAlias = "Mapping[str, NDArray[np.generic]]"  # the outputs of one inference, by name
Prediction: TypeAlias = str | int | list[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricScore:
    """One metric, 0..100, and the value of each example; as in TaskEvaluation."""

    metric: str
    value: float
    per_example: NDArray[np.float64]
    counts: NDArray[np.int64] | None = None


def head_for(task: Task) -> tuple[str, str]:
    """Return the transformers class of a task's head, and its name for `export --task`."""
    return _HEADS.get(task.name) or _HEADS[task.group]


def labels_of_checkpoint(folder: Path, task: Task) -> tuple[str, ...]:
    """Return the task's label for each of a checkpoint's outputs, from id2label in its config.

    Raises:
        ConfigError: id2label is missing or generic (`LABEL_0`), or names a label that the task doesn't have.
    """
    path = folder / "config.json"
    try:
        named = parse_json(read_text(path, within=folder)).get("id2label") or {}
        keys = sorted(map(int, named))
        names = [str(named[key]) for key in sorted(named, key=int)]
    except (OSError, ValueError, TypeError, AttributeError, LookupError) as error:
        raise ConfigError(f"{path}: can't read which label is which (id2label): {error}") from error
    if keys != list(range(len(keys))):
        raise ConfigError(f"{path}: id2label has the outputs {', '.join(map(str, keys))}; they count from 0")
    known = {label.lower(): label for label in task.labels}
    if names and all(_GENERIC.fullmatch(name) for name in names) and not set(names) <= set(task.labels):
        names = [match[1] for name in names if (match := _GENERIC.fullmatch(name))]
        if not set(names) <= set(task.labels):
            raise ConfigError(
                f"{path} does not say which label is which (LABEL_0, ...); name {', '.join(task.labels)} in its "
                f"id2label, in the order of the outputs"
            )
    if not names:
        raise ConfigError(f"{path} names no labels; name {', '.join(task.labels)} in its id2label")
    for name in names:
        if name.lower() not in known:
            raise ConfigError(f"{path}: {UnknownName(f'label of {task.name}', name, task.labels)}")
    return tuple(known[name.lower()] for name in names)


def decode(task: Task, examples: Examples, inputs: TaskInputs, rows: Sequence[Row], labels: Sequence[str]) -> list[Any]:
    """Return the prediction for each example: a label, a choice, a tag per word, or an answer's text.

    Args:
        rows: the model's outputs for each inference, in order.
        labels: the task's label for each of the model's outputs.

    Raises:
        ConfigError: the model has another number of labels.
    """
    if task.group == "tagging":
        return _tags(examples, inputs, rows, labels)
    if task.group == "qa":
        return _answers(examples, inputs, rows)
    if task.name == "xcopa":
        return [int(row["logits"].argmax()) for row in rows]
    _check_width(rows, labels)
    return [labels[int(row["logits"].argmax())] for row in rows]


def _check_width(rows: Sequence[Row], labels: Sequence[str]) -> None:
    width = rows[0]["logits"].shape[-1]
    if width != len(labels):
        raise ConfigError(f"the model has {counted(width, 'label')}, and its config.json names {len(labels)}")


def _tags(examples: Examples, inputs: TaskInputs, rows: Sequence[Row], labels: Sequence[str]) -> list[list[str]]:
    _check_width(rows, labels)
    tags: list[list[str]] = [[] for _ in range(len(examples))]
    for owner, window, row in zip(inputs.owners, inputs.windows, rows, strict=True):
        best = row["logits"].argmax(axis=-1)
        tags[owner] += [labels[int(best[at])] for at in window.words]
    return tags


def _answers(examples: Examples, inputs: TaskInputs, rows: Sequence[Row]) -> list[str]:
    """Return the text of each question's best span over its windows: the largest sum of a start's and an end's logit.

    As in run_qa.py, the N_BEST starts and ends of each window are combined; if no pair is valid, the answer is "".
    """
    best: list[tuple[float, str]] = [(float("-inf"), "")] * len(examples)
    for owner, window, row in zip(inputs.owners, inputs.windows, rows, strict=True):
        example = examples.inputs[owner]
        assert isinstance(example, Question)  # noqa: S101 - read_task makes QA's inputs
        found = _best_span(window.offsets, row["start_logits"], row["end_logits"])
        if found is not None and found[0] > best[owner][0]:
            best[owner] = (found[0], example.context[found[1] : found[2]])
    return [text for _, text in best]


def _best_span(
    offsets: Sequence[tuple[int, int] | None], starts: NDArray[np.generic], ends: NDArray[np.generic]
) -> tuple[float, int, int] | None:
    import numpy as np

    best: tuple[float, int, int] | None = None
    tokens = len(offsets)
    for start in np.argsort(starts[:tokens])[: -N_BEST - 1 : -1]:
        for end in np.argsort(ends[:tokens])[: -N_BEST - 1 : -1]:
            first, last = offsets[start], offsets[end]
            if first is None or last is None or not start <= end < start + MAX_ANSWER_LEN:
                continue
            score = float(starts[start]) + float(ends[end])
            if best is None or score > best[0]:
                best = (score, first[0], last[1])
    return best


def rank(
    task: Task, examples: Examples, queries: NDArray[np.float32], candidates: NDArray[np.float32]
) -> list[list[str]]:
    """Return the ids of each query's nearest candidates by cosine, nearest first: one for Tatoeba, else TOP."""
    count = 1 if task.name == "tatoeba" else TOP
    nearest = nearest_candidates(queries, candidates, count=count)
    return [[examples.candidates[at].id for at in row] for row in nearest]


# --- scores -----------------------------------------------------------------------------------------------------


def score_answers(
    task: Task, examples: Examples, predictions: Sequence[Any], *, seqeval: str = SEQEVAL_VERSIONS[0]
) -> list[MetricScore]:
    """Return the task's metrics over its examples, with the definitions of `scoring.score_predictions`."""
    labels = examples.labels
    assert labels is not None  # noqa: S101 - examples without labels are refused before anything runs
    if task.group == "tagging":
        return _from_counts(metrics.tagging_counts(labels, predictions, seqeval=seqeval))  # type: ignore[arg-type]
    if task.group == "qa":
        return _of_answers(task, examples, predictions)
    if task.name in ("mewslix", "lareqa"):
        rights = [tuple(right) for right in labels if isinstance(right, tuple)]
        values = [
            metrics.mean_average_precision({"": right}, {"": ranking})
            for right, ranking in zip(rights, predictions, strict=True)
        ]
        return [_mean("map@20", values)]
    if task.name == "tatoeba":
        return [_mean("accuracy", [100.0 * (p[0] in label) for p, label in zip(predictions, labels, strict=True)])]  # type: ignore[operator]
    return [_mean("accuracy", [100.0 * (p == label) for p, label in zip(predictions, labels, strict=True)])]


def _of_answers(task: Task, examples: Examples, predictions: Sequence[str]) -> list[MetricScore]:
    normalise: Normaliser = metrics.mlqa_normaliser(examples.lang) if task.name == "mlqa" else metrics.normalise_squad
    assert examples.labels is not None  # noqa: S101 - as above
    each = [
        metrics.answers({"": right}, {"": prediction}, normalise)  # type: ignore[dict-item]
        for right, prediction in zip(examples.labels, predictions, strict=True)
    ]
    return [_mean("f1", [one.f1 for one in each]), _mean("em", [one.em for one in each])]


def _mean(metric: str, values: Sequence[float]) -> MetricScore:
    import numpy as np

    array = np.asarray(values, np.float64)
    return MetricScore(metric=metric, value=float(array.mean()), per_example=array)


def _from_counts(counts: NDArray[np.int64]) -> list[MetricScore]:
    import numpy as np

    def of(row: Sequence[int]) -> metrics.PrecisionRecall:
        return metrics.PrecisionRecall.of(correct=int(row[0]), predicted=int(row[1]), expected=int(row[2]))

    total, each = of(counts.sum(axis=0)), [of(row) for row in counts]
    return [
        MetricScore(
            metric=metric,
            value=getattr(total, metric),
            per_example=np.array([getattr(one, metric) for one in each], np.float64),
            counts=counts,
        )
        for metric in ("f1", "precision", "recall")
    ]
