"""The tasks' examples, in the layout that XTREME's download scripts make (its folder `download/`).

Missing files are reported. The scripts remove the labels of most test sets; `Examples.labels` is then None, unless a
folder of labels (TASK/test-LANG.SUFFIX) is passed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgebench.errors import ScoresError, UnknownName
from edgebench.xtreme_r import answer_files
from edgebench.xtreme_r.example_readers import (
    read_bucc,
    read_choices_task,
    read_lareqa,
    read_mewslix,
    read_questions_task,
    read_tatoeba,
)
from edgebench.xtreme_r.example_types import Examples, Label, Words
from edgebench.xtreme_r.pair_reader import read_pairs_task
from edgebench.xtreme_r.tasks import Task, all_tasks, find_task
from edgebench.xtreme_r.word_reader import read_words_task

#: The splits that the scripts write; `dev` has its labels, and not every task has one.
SPLITS = ("test", "dev")
_PIVOT = "en"


class NoExamples(ScoresError):
    """A file shared by the languages of a task (Mewsli-X) has no examples in one of them."""


@dataclass(frozen=True, slots=True)
class Found:
    """The languages of a task whose files exist, and a missing file of each other language."""

    langs: tuple[str, ...]
    missing: Mapping[str, Path]


def find_data(data: Path, *, split: str = "test") -> dict[str, Found]:
    """Return which languages have data, for each task."""
    found = {}
    for task in all_tasks().values():
        lacking = {}
        for lang in task.langs:
            files = _LAYOUT[task.name].files(data, lang, split)
            if absent := [path for path in files if not path.is_file()]:
                lacking[lang] = absent[0]
        found[task.name] = Found(tuple(lang for lang in task.langs if lang not in lacking), lacking)
    return found


def read_task(data: Path, task: str, lang: str, *, split: str = "test", labels: Path | None = None) -> Examples:
    """Return the examples of a task in one language.

    Args:
        data: the folder `download/` that XTREME's scripts make.
        labels: a folder of labels, TASK/test-LANG.SUFFIX, that replace those of the data.

    Raises:
        UnknownName: task, lang or split.
        ScoresError: a file is missing, empty or invalid; or the labels don't match the examples.
    """
    known = find_task(task)
    if lang not in known.langs:
        raise UnknownName(f"language of {known.name}", lang, known.langs)
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    layout = _LAYOUT[known.name]
    files = layout.files(data, lang, split)
    for path in files:
        if not path.is_file():
            raise ScoresError(f"{known.title} in {lang} is missing: no {path}; XTREME's download scripts make it")
    examples = layout.read(known, lang, files)
    if not examples.ids:
        is_shared = layout.files(data, known.langs[0], split) == layout.files(data, known.langs[-1], split)
        raise (NoExamples if is_shared else ScoresError)(f"{files[0]} has no examples of {known.title} in {lang}")
    if labels is not None:
        examples = replace(examples, labels=_separate_labels(examples, known, labels))
    return examples


def _separate_labels(examples: Examples, task: Task, folder: Path) -> tuple[Label, ...]:
    path = folder / task.name / f"test-{examples.lang}.{task.suffix}"
    by_id: Mapping[str, Sequence[str]]
    if task.name in ("xquad", "mlqa", "tydiqa"):
        by_id = answer_files.read_right_answers(path)
    elif task.name in ("mewslix", "lareqa"):
        by_id = answer_files.read_rankings(path)
    elif task.name == "bucc2018":
        right = dict(pair for pair in answer_files.read_pairs(path) if len(pair) == 2)
        by_id = {id: (right[id],) if id in right else () for id in examples.ids}
    else:
        return _aligned_labels(examples, task, path)
    unknown = [id for id in examples.ids if id not in by_id]
    if unknown:
        raise ScoresError(f"{path}: has no right answer for {unknown[0]} (and {len(unknown) - 1} more)")
    return tuple(tuple(by_id[id]) for id in examples.ids)


def _aligned_labels(examples: Examples, task: Task, path: Path) -> tuple[Label, ...]:
    labels: Sequence[Label]
    if task.group == "tagging":
        labels = [tuple(tags) for tags in answer_files.read_tags(path, task)]
    elif task.name == "xcopa":
        labels = answer_files.read_choices(path, task)
    else:
        labels = answer_files.read_labels(path, task)
    if task.name == "tatoeba":
        answer_files.check_line_numbers(path, [str(label) for label in labels], len(examples.candidates))
        labels = [(str(int(str(label))),) for label in labels]
    if len(labels) != len(examples):
        raise ScoresError(f"{path} has {len(labels)} labels for {len(examples)} examples; they must be aligned")
    for id, example, label in zip(examples.ids, examples.inputs, labels, strict=True):
        if isinstance(example, Words) and isinstance(label, tuple) and len(label) != len(example.words):
            raise ScoresError(f"{path}: sentence {id} has {len(label)} tags for {len(example.words)} words")
    return tuple(labels)


@dataclass(frozen=True, slots=True)
class _Layout:
    """The files of a task for a language and split, and their reader."""

    files: Callable[[Path, str, str], list[Path]]
    read: Callable[[Task, str, Sequence[Path]], Examples]


def _named(*patterns: str) -> Callable[[Path, str, str], list[Path]]:
    return lambda data, lang, split: [
        data / pattern.format(lang=lang, split=split, pivot=_PIVOT) for pattern in patterns
    ]


def _xcopa(data: Path, lang: str, split: str) -> list[Path]:
    return [data / "xcopa" / f"{'val' if split == 'dev' else split}.{lang}.jsonl"]


def _xquad_r(data: Path, lang: str, split: str) -> list[Path]:
    return [data / "lareqa" / "xquad-r" / f"{each}.json" for each in all_tasks()["lareqa"].langs]


_LAYOUT = {
    "xnli": _Layout(_named("xnli/{split}-{lang}.tsv"), read_pairs_task),
    "pawsx": _Layout(_named("pawsx/{split}-{lang}.tsv"), read_pairs_task),
    "xcopa": _Layout(_xcopa, read_choices_task),
    "udpos": _Layout(_named("udpos/{split}-{lang}.tsv"), read_words_task),
    "panx": _Layout(_named("panx/{split}-{lang}.tsv"), read_words_task),
    "xquad": _Layout(_named("xquad/xquad.{lang}.json"), read_questions_task),
    "mlqa": _Layout(_named("mlqa/MLQA_V1/{split}/{split}-context-{lang}-question-{lang}.json"), read_questions_task),
    "tydiqa": _Layout(_named("tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.goldp.{lang}.dev.json"), read_questions_task),
    "tatoeba": _Layout(_named("tatoeba/{lang}-{pivot}.{lang}", "tatoeba/{lang}-{pivot}.{pivot}"), read_tatoeba),
    "bucc2018": _Layout(
        _named("bucc2018/{lang}-{pivot}.{split}.{lang}", "bucc2018/{lang}-{pivot}.{split}.{pivot}"), read_bucc
    ),
    "mewslix": _Layout(_named("mewslix/wikinews_mentions-{split}.jsonl"), read_mewslix),
    "lareqa": _Layout(_xquad_r, read_lareqa),
}
