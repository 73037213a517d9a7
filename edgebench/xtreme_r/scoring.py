"""Scores of a folder of answers in XTREME's format, as google-research/xtreme's evaluate.py computes them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from edgebench._version import __version__
from edgebench.errors import ConfigError, ScoresError, UnknownName
from edgebench.figures import Score
from edgebench.reading import open_file
from edgebench.text import printable
from edgebench.xtreme_r import answer_files, metrics
from edgebench.xtreme_r.caveats import caveats_of, renaming_caveat
from edgebench.xtreme_r.metrics import SEQEVAL_VERSIONS
from edgebench.xtreme_r.scores import task_scores
from edgebench.xtreme_r.tasks import XTREME, XTREME_R, Task, all_tasks, tasks_of

BENCHMARKS = (XTREME_R, XTREME)
#: Source of the definitions.
REFERENCE = "google-research/xtreme 838c13b6"


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageScore:
    """One metric of one task in one language, 0..100, over `n` examples (BUCC: right pairs; tagging: sentences).

    `unanswered`: questions or queries without an answer, which count 0; None if every line is an answer. `caveats`: why
    the value may not mean what it seems to mean.
    """

    task: str
    lang: str
    metric: str
    value: float
    n: int
    unanswered: int | None
    protocol: Mapping[str, str]
    caveats: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return one entry of `scores` in `scores eval --json`."""
        protocol = dict(self.protocol) | ({} if self.unanswered is None else {"unanswered": self.unanswered})
        return {
            "task": self.task,
            "lang": self.lang,
            "metric": self.metric,
            "value": self.value,
            "n": self.n,
            "artifact_sha256": None,
            "protocol": protocol,
            "caveats": list(self.caveats),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderScores:
    """Scores of a folder of answers.

    missing: the languages of each scored task that have no answers, or no labels; its score is partial.
    absent: the tasks of the benchmark without any score.
    notes: remarks for readers of the figures.
    """

    benchmark: str
    scores: tuple[LanguageScore, ...]
    missing: Mapping[str, tuple[str, ...]]
    absent: tuple[str, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        tasks = ", ".join(f"{name} {value:.2f}" for name, value in self.tasks.items()) or "no task"
        return printable(f"<FolderScores {self.benchmark}: {tasks}>")

    @property
    def tasks(self) -> dict[str, float]:
        """The mean over the languages that are there, of each task; QA: of the mean of F1 and EM."""
        plain = [
            Score(task=score.task, lang=score.lang, metric=score.metric, value=score.value) for score in self.scores
        ]
        return {name: score.value for name, score in task_scores(plain).items()}

    @property
    def overall(self) -> float | None:
        """The mean over the benchmark's tasks; None unless all are there with all their languages."""
        names = [task.name for task in tasks_of(self.benchmark)]
        if self.absent or any(name in self.missing for name in names):
            return None
        values = self.tasks
        return math.fsum(values[name] for name in names) / len(names)

    def to_json(self) -> dict[str, Any]:
        """Return what `scores eval --json` writes."""
        return {
            "benchmark": self.benchmark,
            "scores": [score.to_json() for score in self.scores],
            "tasks": self.tasks,
            "overall": self.overall,
            "partial": {task: list(langs) for task, langs in self.missing.items()},
            "absent": list(self.absent),
            "notes": list(self.notes),
        }


def score_predictions(
    predictions: Path, labels: Path, *, benchmark: str = XTREME_R, seqeval: str = SEQEVAL_VERSIONS[0]
) -> FolderScores:
    """Score each TASK/test-LANG.SUFFIX that is in both folders.

    Tasks of the other benchmark alone (PAWS-X and BUCC for XTREME-R) are also scored, but are not part of the overall
    score.

    Args:
        benchmark: whose tasks and languages the means are over, XTREME_R or XTREME.
        seqeval: the version whose reading of tags counts, "0.0.12" (what XTREME's own figures were made with) or
            "1.2.2".

    Raises:
        UnknownName: benchmark or seqeval.
        ConfigError: a folder does not exist.
        ScoresError: there is nothing to score, or a file is invalid.
    """
    _check_request(predictions, labels, benchmark, seqeval)
    scores: list[LanguageScore] = []
    missing: dict[str, tuple[str, ...]] = {}
    notes: list[str] = list(_foreign_folders(predictions))
    for task in all_tasks().values():
        if not (predictions / task.name).is_dir():
            continue
        if not (labels / task.name).is_dir():
            notes.append(f"{task.name}: not scored, {labels / task.name} is not there")
            continue
        without = []
        for lang in task.langs_in(benchmark):
            files = [folder / task.name / f"test-{lang}.{task.suffix}" for folder in (predictions, labels)]
            if lacking := [path for path in files if not path.is_file()]:
                without.append(lang)
                notes.append(f"{task.name}: {lang} is missing: no {lacking[0]}")
                continue
            scores += _score_language(task, lang, *files, seqeval=seqeval)
        if without:
            missing[task.name] = tuple(without)
    if not scores:
        raise ScoresError(f"nothing to score in {predictions}: {notes[0] if notes else _expected(predictions)}")
    done = {score.task for score in scores}
    return FolderScores(
        benchmark=benchmark,
        scores=tuple(scores),
        missing={name: langs for name, langs in missing.items() if name in done},
        absent=tuple(task.name for task in tasks_of(benchmark) if task.name not in done),
        notes=(*notes, *_unanswered(scores)),
    )


def _check_request(predictions: Path, labels: Path, benchmark: str, seqeval: str) -> None:
    if benchmark not in BENCHMARKS:
        raise UnknownName("benchmark", benchmark, BENCHMARKS)
    if seqeval not in SEQEVAL_VERSIONS:
        raise UnknownName("version of seqeval", seqeval, SEQEVAL_VERSIONS)
    for folder in (predictions, labels):
        if not folder.is_dir():
            raise ConfigError(f"{folder} is not a folder; it should hold TASK/test-LANG.tsv (or .json, .jsonl)")


def _expected(predictions: Path) -> str:
    example = all_tasks()["xnli"]
    return (
        f"it has none of {', '.join(all_tasks())} (for example {predictions / example.name}/test-sw.{example.suffix})"
    )


def _foreign_folders(predictions: Path) -> Iterator[str]:
    for folder in sorted(predictions.iterdir()):
        if folder.is_dir() and folder.name not in all_tasks() and not folder.name.startswith("."):
            yield f"{folder.name}: not scored, {UnknownName('task', folder.name, all_tasks())}"


def _unanswered(scores: list[LanguageScore]) -> Iterator[str]:
    seen = set()
    for score in scores:
        if score.unanswered and (score.task, score.lang) not in seen:
            seen.add((score.task, score.lang))
            yield f"{score.task} in {score.lang}: {score.unanswered} of {score.n} without an answer count 0"


# --- one language -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scored:
    values: Mapping[str, float]
    n: int
    unanswered: int | None = None
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Files:
    """A task's answers and labels in one language."""

    task: Task
    lang: str
    predictions: Path
    labels: Path


def _score_language(task: Task, lang: str, predictions: Path, labels: Path, *, seqeval: str) -> Iterator[LanguageScore]:
    score, _ = _SCORERS[task.name]
    scored = score(_Files(task, lang, predictions, labels), seqeval)
    protocol = convention_of(task, lang, seqeval=seqeval) | {
        "predictions_sha256": _sha256(predictions),
        "labels_sha256": _sha256(labels),
    }
    for metric in (*task.metrics, *task.more_metrics):
        yield LanguageScore(
            task=task.name,
            lang=lang,
            metric=metric,
            value=scored.values[metric],
            n=scored.n,
            unanswered=scored.unanswered,
            protocol=protocol,
            caveats=caveats_of(task.name, lang, metric, scored.values[metric], scored.n, known=scored.caveats),
        )


def _sha256(path: Path) -> str:
    with open_file(path, within=path.parent.parent) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _labels(files: _Files, _: str) -> _Scored:
    labels, found = (answer_files.read_labels(path, files.task) for path in (files.labels, files.predictions))
    if files.task.name == "tatoeba":
        bases = [answer_files.counts_from_one(each, len(labels)) for each in (labels, found)]
        if bases[0] != bases[1] and "0" in (found if bases[0] else labels):
            one, other = (files.labels, files.predictions) if bases[0] else (files.predictions, files.labels)
            raise ScoresError(f"{one}: counts the lines from 1, and {other} from 0; both must count from 0")
    return _accuracy(files, labels, found)


def _choices(files: _Files, _: str) -> _Scored:
    labels, found = (answer_files.read_choices(path, files.task) for path in (files.labels, files.predictions))
    if labels and found and isinstance(labels[0], str) != isinstance(found[0], str):
        raise ScoresError(
            f"{files.predictions}: its labels are {'text' if isinstance(found[0], str) else 'numbers'}, "
            f"those of {files.labels} are not: as evaluate.py compares them, all would be wrong"
        )
    return _accuracy(files, labels, found)


def _accuracy(files: _Files, labels: list[Any], found: list[Any]) -> _Scored:
    answer_files.check_lengths(files.predictions, found, files.labels, labels, "lines")
    _refuse_empty(files, labels)
    return _Scored({"accuracy": metrics.accuracy(labels, found)}, len(labels), caveats=_renamed(files, labels, found))


def _renamed(files: _Files, labels: list[Any], found: list[Any]) -> tuple[str, ...]:
    caveat = renaming_caveat(files.task, labels, found) if files.task.labels else None
    return (caveat,) if caveat is not None else ()


def _tagging(files: _Files, seqeval: str) -> _Scored:
    labels, found = (answer_files.read_tags(path, files.task) for path in (files.labels, files.predictions))
    answer_files.check_lengths(files.predictions, found, files.labels, labels, "sentences")
    _refuse_empty(files, labels)
    line = 1
    for number, (right, guessed) in enumerate(zip(labels, found, strict=True), start=1):
        if len(right) != len(guessed):
            raise ScoresError(
                f"{files.predictions}:{line}: sentence {number} has {len(guessed)} tags "
                f"and in {files.labels} it has {len(right)}; they must be aligned, word by word"
            )
        line += len(right) + 1
    scored = _with_precision(metrics.tagging(labels, found, seqeval=seqeval), len(labels))
    return replace(scored, caveats=_renamed(files, labels, found))


def _pairs(files: _Files, _: str) -> _Scored:
    labels, found = (answer_files.read_pairs(path) for path in (files.labels, files.predictions))
    _refuse_empty(files, labels)
    return _with_precision(metrics.bitext(labels, found), len(labels))


def _with_precision(result: metrics.PrecisionRecall, n: int) -> _Scored:
    return _Scored({"f1": result.f1, "precision": result.precision, "recall": result.recall}, n)


def _answers(normaliser: Callable[[str], metrics.Normaliser]) -> Callable[[_Files, str], _Scored]:
    def score(files: _Files, _: str) -> _Scored:
        rights = answer_files.read_right_answers(files.labels)
        found = answer_files.read_answers(files.predictions)
        _refuse_empty(files, rights)
        answer_files.check_ids(files.predictions, rights, found)
        result = metrics.answers(rights, found, normaliser(files.lang))
        return _Scored({"f1": result.f1, "em": result.em}, len(rights), len(rights) - len(found))

    return score


def _rankings(files: _Files, _: str) -> _Scored:
    labels = answer_files.read_rankings(files.labels)
    found = answer_files.read_rankings(files.predictions)
    _refuse_empty(files, labels)
    answer_files.check_ids(files.predictions, labels, found)
    for query, rights in labels.items():
        if not rights or len(set(rights)) < len(rights):
            raise ScoresError(f"{files.labels}: {query} has {'an answer twice' if rights else 'no right candidate'}")
        if files.task.name == "mewslix" and len(rights) > 1:
            raise ScoresError(f"{files.labels}: {query} has {len(rights)} right entities; Mewsli-X has one for each")
    rights_of = {query: [right.strip() for right in rights] for query, rights in labels.items()}
    return _Scored({"map@20": metrics.mean_average_precision(rights_of, found)}, len(labels), len(labels) - len(found))


def _refuse_empty(files: _Files, labels: object) -> None:
    if not labels:
        raise ScoresError(f"{files.labels} is empty: there is nothing to score {files.task.name} in {files.lang} by")


def convention_of(task: Task, lang: str, *, seqeval: str = SEQEVAL_VERSIONS[0]) -> dict[str, str]:
    """Return how a task is scored, for the protocol of a score."""
    _, convention = _SCORERS[task.name]
    return {
        "definition": REFERENCE if task.name != "lareqa" else "LAReQA, arXiv 2004.05484",
        "convention": convention.format(seqeval=seqeval, lang=lang),
        "scorer": f"edgebench {__version__}",
    }


@cache
def _mlqa(lang: str) -> metrics.Normaliser:
    return metrics.mlqa_normaliser(lang)


def _squad(_: str) -> metrics.Normaliser:
    return metrics.normalise_squad


_ENGLISH = "SQuAD 1.1's English normaliser in every language; task: mean of F1 and EM"
#: The scorer of each task, and its convention, which other figures may not follow.
_SCORERS: Mapping[str, tuple[Callable[[_Files, str], _Scored], str]] = {
    "xnli": (_labels, "equal labels"),
    "xcopa": (_choices, "equal labels"),
    "pawsx": (_labels, "equal labels"),
    "udpos": (_tagging, "spans of equal tags as seqeval {seqeval} reads bare tags"),
    "panx": (_tagging, "entities as seqeval {seqeval} reads BIO tags"),
    "xquad": (_answers(_squad), _ENGLISH),
    "mlqa": (_answers(_mlqa), "MLQA's normaliser for {lang}; task: mean of F1 and EM"),
    "tydiqa": (_answers(_squad), _ENGLISH),
    "tatoeba": (_labels, "equal numbers of lines (1 nearest neighbour, cosine)"),
    "bucc2018": (_pairs, "equal pairs; the threshold is the answers' own"),
    "mewslix": (_rankings, "mAP@20 with one right entity, which is MRR@20"),
    "lareqa": (_rankings, "mAP@20 over candidates pooled from all languages"),
}
