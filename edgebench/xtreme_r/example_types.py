"""The types of examples, and the examples of a task in one language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from edgebench.xtreme_r.tasks import Task


@dataclass(frozen=True, slots=True)
class Pair:
    """XNLI: premise and hypothesis. PAWS-X: two sentences."""

    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Choice:
    """XCOPA: which of two choices is the premise's `question`, its "cause" or its "effect"?"""

    premise: str
    question: str
    choices: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Words:
    """UDPOS, WikiANN-NER: the words of a sentence, each to be tagged."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """XQuAD, MLQA, TyDiQA-GoldP: the answer is a span of the context."""

    context: str
    question: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A retrieval candidate; `context`: the paragraph around it (LAReQA)."""

    id: str
    text: str
    context: str = ""


Input: TypeAlias = Pair | Choice | Words | Question | str
Label: TypeAlias = str | int | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """A task's examples in one language, in the order of its files, which answers follow.

    ids, inputs, labels: shape (examples,). Inputs are of one class, texts in retrieval. Labels are: a label (XNLI,
    PAWS-X), 0 or 1 (XCOPA), a tag per word (tagging), the right answers (QA), the ids of the right candidates
    (retrieval); None: the files have none. candidates: of retrieval; Mewsli-X's are read by `mewslix_candidates`.
    texts: shape (examples,), of retrieval: the text that a query is about, which others may be about as well.
    """

    task: str
    lang: str
    ids: tuple[str, ...]
    inputs: tuple[Input, ...]
    labels: tuple[Label, ...] | None
    candidates: tuple[Candidate, ...] = ()
    texts: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def clusters(self) -> tuple[int, ...] | None:
        """Return which text each example is about, numbered as they come; None where each is about its own.

        Answers about one text are not independent: the questions of a paragraph, the hypotheses of XNLI's premise.
        """
        texts = self.texts if self.texts is not None else tuple(_text_of(each) for each in self.inputs)
        numbers: dict[str | None, int] = {}
        found = tuple(
            numbers.setdefault(text if text is not None else f"\0{at}", len(numbers)) for at, text in enumerate(texts)
        )
        return found if len(numbers) < len(found) else None


def new_examples(task: Task, lang: str, inputs: Sequence[Input], labels: Sequence[Label]) -> Examples:
    """Return examples that are numbered from 0; without labels: `labels` is None."""
    return Examples(
        task=task.name,
        lang=lang,
        ids=tuple(str(number) for number in range(len(inputs))),
        inputs=tuple(inputs),
        labels=tuple(labels) if labels else None,
    )


def _text_of(example: Input) -> str | None:
    """Return the text that other examples may be about, too; None where there is none."""
    if isinstance(example, Question):
        return example.context or None
    return example.first if isinstance(example, Pair) else None
