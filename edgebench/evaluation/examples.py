"""Which examples are evaluated: of each task, in each language, with their labels, as many as are requested."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from edgebench.errors import ConfigError, ScoresError
from edgebench.evaluation.request import EvaluationRequest
from edgebench.xtreme_r import (
    Examples,
    NoExamples,
    Task,
    convention_of,
    find_data,
    find_task,
    limited,
    mewslix_candidates,
    read_task,
)

_NOT_ANSWERED = {
    "bucc2018": "which pairs are mined depends on a threshold that is fitted on other pairs; "
    "score pairs that were mined: edgebench scores eval"
}


@dataclass(frozen=True, slots=True)
class TaskExamples:
    """A task's examples in one language, with their labels."""

    task: Task
    examples: Examples

    @property
    def lang(self) -> str:
        """The language."""
        return self.examples.lang

    @property
    def name(self) -> str:
        """The task and the language, for messages."""
        return f"{self.task.name} {self.lang}"


def read_examples(request: EvaluationRequest) -> tuple[list[TaskExamples], dict[str, tuple[str, ...]]]:
    """Return the examples of each task and language; and, by task, the languages that are left out.

    Raises:
        ConfigError: `data` is no folder, or a task can't be evaluated on a device.
        ScoresError: examples or their labels are missing, or can't be read.
    """
    if not request.data.is_dir():
        raise ConfigError(
            f"{request.data} is not a folder", hint="`data` takes the folder download/ of XTREME's scripts"
        )
    found: list[TaskExamples] = []
    missing = {}
    for task in dict.fromkeys(find_task(name) for name in request.tasks):
        if task.name in _NOT_ANSWERED:
            raise ConfigError(f"{task.title} can't be evaluated on a device: {_NOT_ANSWERED[task.name]}")
        of_task = list(_read_task(request, task))
        found += of_task
        langs = {each.lang for each in of_task}
        if absent := tuple(lang for lang in task.langs if lang not in langs):
            missing[task.name] = absent
    return found, missing


def questions_and_counts(request: EvaluationRequest) -> dict[tuple[str, str], tuple[dict[str, Any], int]]:
    """Return each question with its number of examples, by task and language.

    A question is the part of the protocol that is the same for every artifact and board.

    Raises:
        EdgebenchError: as `read_examples`.
    """
    found, _ = read_examples(request)
    counts = {each.name: len(each.examples) + len(each.examples.candidates) for each in found}
    return {(each.task.name, each.lang): (question_of(request, each), counts[each.name]) for each in found}


def question_of(request: EvaluationRequest, examples: TaskExamples) -> dict[str, Any]:
    """Return the part of the protocol that is the same for every artifact and board."""
    values: dict[str, Any] = {
        **convention_of(examples.task, examples.lang, seqeval=request.seqeval),
        "split": request.split,
        "limit": request.limit,
        "seed": request.seed if request.limit is not None else None,
        "data_sha256": _data_sha256(examples.examples),
    }
    return values | ({"prefix": request.prefix} if examples.task.group == "retrieval" else {})


def _read_task(request: EvaluationRequest, task: Task) -> Iterator[TaskExamples]:
    """Yield a task's examples in each requested language, or else in each language that has some."""
    empty: NoExamples | None = None
    is_none = True
    for lang in dict.fromkeys(request.langs or _available_langs(request, task)):
        try:
            yield TaskExamples(task, _read_language(request, task, lang))
            is_none = False
        except NoExamples as error:
            if request.langs:
                raise
            empty = error
    if is_none and empty is not None:
        raise empty


def _available_langs(request: EvaluationRequest, task: Task) -> tuple[str, ...]:
    found = find_data(request.data, split=request.split)[task.name]
    if not found.langs:
        first = next(iter(found.missing.values()))
        raise ScoresError(f"{task.title}: no language has its files in {request.data}; for example no {first}")
    return found.langs


def _read_language(request: EvaluationRequest, task: Task, lang: str) -> Examples:
    examples = read_task(request.data, task.name, lang, split=request.split, labels=request.labels)
    if task.name == "mewslix":
        examples = replace(examples, candidates=tuple(mewslix_candidates(request.data)))
    if examples.labels is None:
        raise _no_labels(request, task, lang)
    if task.group == "retrieval":
        _refuse_absent_candidates(task, examples)
    return limited(examples, request.limit, seed=request.seed)


def _refuse_absent_candidates(task: Task, examples: Examples) -> None:
    """Refuse right answers that are not among the candidates, and could never be found."""
    known = {candidate.id for candidate in examples.candidates}
    lost = [
        id
        for id, rights in zip(examples.ids, examples.labels or (), strict=True)
        if isinstance(rights, tuple) and not known & set(rights)
    ]
    if lost:
        raise ScoresError(
            f"{task.title} in {examples.lang}: no right answer to {len(lost)} of {len(examples)} queries is among the "
            f"candidates (the first: {lost[0]}); are labels and candidates of one release?"
        )


def _no_labels(request: EvaluationRequest, task: Task, lang: str) -> ScoresError:
    hint = f"name a folder of them, `labels=DIR` with {task.name}/test-{lang}.{task.suffix}"
    return ScoresError(
        f"{task.title} in {lang}: {request.data} has no right answers in its {request.split} files (XTREME's scripts "
        f"take them out)",
        hint=f"{hint}, or try `split='dev'`" if request.split == "test" else hint,
    )


def _data_sha256(examples: Examples) -> str:
    # Not asdict: it copies each of a million candidates.
    # `texts` say which examples belong together, and not what was answered: the hash is that of earlier versions.
    values = {name: getattr(examples, name) for name in examples.__slots__ if name != "texts"}
    text = json.dumps(values, ensure_ascii=False, default=lambda one: [getattr(one, name) for name in one.__slots__])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
