"""The tasks' examples, in the layout that XTREME's download scripts make (its folder `download/`).

What is there is used, what is missing is named. The scripts take the right answers out of most test sets; where they
are, `Examples.labels` is None, unless a folder of labels (TASK/test-LANG.SUFFIX) is given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from edgebench.errors import ScoresError, UnknownName
from edgebench.xtreme_r import answer_files
from edgebench.xtreme_r.answer_files import read_lines, read_questions, read_text
from edgebench.xtreme_r.tasks import Task, find_task, tasks

#: The splits that the scripts write; `dev` has its labels, and not every task has one.
SPLITS = ("test", "dev")
_PIVOT = "en"


class NoExamples(ScoresError):
    """The file that a task's languages share (Mewsli-X) holds nothing in one of them."""


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
    """What a query is to be matched with; `context`: the paragraph around it (LAReQA)."""

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
    """

    task: str
    lang: str
    ids: tuple[str, ...]
    inputs: tuple[Input, ...]
    labels: tuple[Label, ...] | None
    candidates: tuple[Candidate, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Found:
    """Which languages of a task have their files, and which file each other one lacks."""

    langs: tuple[str, ...]
    missing: Mapping[str, Path]


def find_data(data: Path, *, split: str = "test") -> dict[str, Found]:
    """Return what is there of each task."""
    found = {}
    for task in tasks().values():
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
        labels: a folder of right answers, TASK/test-LANG.SUFFIX, as `score_folder` takes; instead of the data's own.

    Raises:
        UnknownName: task, lang or split.
        ScoresError: a file is missing, is empty or is not what it should be; or the labels don't fit the examples.
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
        examples = replace(examples, labels=_given_labels(examples, known, labels))
    return examples


def _given_labels(examples: Examples, task: Task, folder: Path) -> tuple[Label, ...]:
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
        labels = [(str(label),) for label in labels]
    if len(labels) != len(examples):
        raise ScoresError(f"{path} has {len(labels)} labels for {len(examples)} examples; they must be aligned")
    for id, example, label in zip(examples.ids, examples.inputs, labels, strict=True):
        if isinstance(example, Words) and isinstance(label, tuple) and len(label) != len(example.words):
            raise ScoresError(f"{path}: sentence {id} has {len(label)} tags for {len(example.words)} words")
    return tuple(labels)


def mewslix_candidates(data: Path) -> Iterator[Candidate]:
    """Yield the million entities that Mewsli-X's mentions are matched with, one after the other.

    Raises:
        ScoresError: the file is missing or not what it should be.
    """
    path = data / "mewslix" / "candidate_set_entities.jsonl"
    for where, entity in _json_lines(path):
        try:
            spans = [entity["description"][span["start"] : span["end"]] for span in entity["sentence_spans"]]
            yield Candidate(entity["entity_id"], _plain(" ".join(spans)))
        except (KeyError, TypeError) as error:
            raise ScoresError(f"{where}: not an entity of Mewsli-X: {type(error).__name__}: {error}") from error


# --- readers ----------------------------------------------------------------------------------------------------


def _read_pairs(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    pairs = []
    labels = []
    for number, line in enumerate(_raw_lines(files[0]), start=1):
        cells = [_unquoted(cell) for cell in line.split("\t")]
        if len(cells) not in (2, 3):
            raise ScoresError(f"{files[0]}:{number}: {len(cells)} cells; it takes two texts (and a label)")
        pairs.append(Pair(cells[0], cells[1]))
        labels += cells[2:]
    if labels and len(labels) < len(pairs):
        raise ScoresError(f"{files[0]}: {len(pairs) - len(labels)} of {len(pairs)} lines lack a label")
    unknown = set(labels) - set(task.labels)
    if unknown:
        raise ScoresError(f"{files[0]}: {UnknownName(f'label of {task.name}', min(unknown), task.labels)}")
    return _examples(task, lang, pairs, labels)


def _read_choices(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    inputs = []
    labels = []
    for where, values in _json_lines(files[0]):
        try:
            inputs.append(Choice(values["premise"], values["question"], (values["choice1"], values["choice2"])))
        except KeyError as error:
            raise ScoresError(f"{where}: not an example of XCOPA: it lacks {error}") from error
        if "label" in values:
            if type(values["label"]) is not int or values["label"] not in (0, 1):
                raise ScoresError(f"{where}: unknown label {values['label']!r} of xcopa; known: 0, 1")
            labels.append(values["label"])
    return _examples(task, lang, inputs, labels)


def _read_words(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    sentences: list[list[list[str]]] = [[]]
    for line in read_lines(files[0]):
        if line:
            sentences[-1].append(line.split("\t"))
        elif sentences[-1]:
            sentences.append([])
    sentences = [sentence for sentence in sentences if sentence]
    widths = {len(cells) for sentence in sentences for cells in sentence}
    if not widths <= {1} and not widths <= {2}:
        raise ScoresError(f"{files[0]}: some words have a tag and some have none, or lines have more than two cells")
    labels = [tuple(cells[1] for cells in sentence) for sentence in sentences] if widths == {2} else []
    unknown = {tag for tags in labels for tag in tags} - set(task.labels)
    if unknown:
        raise ScoresError(f"{files[0]}: {UnknownName(f'label of {task.name}', min(unknown), task.labels)}")
    return _examples(task, lang, [Words(tuple(cells[0] for cells in sentence)) for sentence in sentences], labels)


def _read_questions(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    ids, inputs, labels = [], [], []
    for context, question in read_questions(files[0]):
        ids.append(str(question["id"]))
        inputs.append(Question(context, question.get("question", "")))
        labels.append(tuple(answer["text"] for answer in question.get("answers", ()) if answer.get("text")))
    return replace(_examples(task, lang, inputs, labels if all(labels) else []), ids=tuple(ids))


def _read_tatoeba(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    candidates = tuple(Candidate(str(number), text) for number, text in enumerate(read_lines(files[1])))
    return replace(_examples(task, lang, read_lines(files[0]), []), candidates=candidates)


def _read_bucc(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    queries, candidates = (tuple(_identified(path)) for path in files)
    examples = _examples(task, lang, [query.text for query in queries], [])
    return replace(examples, ids=tuple(query.id for query in queries), candidates=candidates)


def _identified(path: Path) -> Iterator[Candidate]:
    seen = set()
    for number, line in enumerate(read_lines(path), start=1):
        id, tab, text = line.partition("\t")
        if not tab or id in seen:
            what = "the id is there twice" if tab else "no id, tab and text"
            raise ScoresError(f"{path}:{number}: {what}: {line[:40]!r}")
        seen.add(id)
        yield Candidate(id, text)


def _read_mewslix(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    ids, texts, labels = [], [], []
    for where, values in _json_lines(files[0]):
        try:
            context = values["context"]
            if context["language"] != lang:
                continue
            for mention in values["mentions"]:
                ids.append(mention["example_id"])
                texts.append(_mention_text(context, mention["mention_span"]))
                labels.append((mention["entity_id"],))
        except (KeyError, TypeError) as error:
            raise ScoresError(f"{where}: not mentions of Mewsli-X: {type(error).__name__}: {error}") from error
    return replace(_examples(task, lang, texts, labels), ids=tuple(ids))


_BRACES = re.compile(r"\{(.*?)\}")


def _mention_text(context: Mapping[str, Any], span: Mapping[str, Any]) -> str:
    """Return a mention as Mewsli-X's baseline gives it to a model: "Smith: The verdict for { Smith } came".

    Its context is the sentence that it stands in; braces that are there already become parentheses.
    """
    start, end = span["start"], span["end"]
    around = [s for s in context["sentence_spans"] if s["start"] <= start and end <= s["end"]]
    first, last = (around[0]["start"], around[0]["end"]) if around else (0, len(context["text"]))
    before, after = (_BRACES.sub(r"(\1)", part) for part in (context["text"][first:start], context["text"][end:last]))
    mention = context["text"][start:end]
    return _plain(f"{mention}: {before} {{ {mention} }} {after}")


def _plain(text: str) -> str:
    return " ".join(text.splitlines()).replace("  ", " ").strip()


def _read_lareqa(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    """Questions of one language; candidates are the sentences of all, of which each may be right for several."""
    candidates: dict[str, Candidate] = {}
    rights: dict[str, list[str]] = {}
    ids, inputs = [], []
    for path, of in zip(files, task.langs, strict=True):
        for candidate, question, is_right in _lareqa_sentences(path, of):
            candidates[candidate.id] = candidate
            if is_right:
                rights.setdefault(question["id"], []).append(candidate.id)
                if of == lang:
                    ids.append(question["id"])
                    inputs.append(question["question"])
    labels = [tuple(rights[id]) for id in ids]
    return replace(_examples(task, lang, inputs, labels), ids=tuple(ids), candidates=tuple(candidates.values()))


def _lareqa_sentences(path: Path, lang: str) -> Iterator[tuple[Candidate, Mapping[str, Any], bool]]:
    """Yield (sentence of a paragraph, question about the paragraph, whether the sentence has the answer).

    A candidate's id is LANG_PARAGRAPH_SENTENCE: paragraphs count from 1, sentences from 0, as LAReQA's code has it.
    """
    document = answer_files.parsed(path)
    try:
        paragraphs = [paragraph for article in document["data"] for paragraph in article["paragraphs"]]
        for number, paragraph in enumerate(paragraphs, start=1):
            context = paragraph["context"]
            for question in paragraph["qas"]:
                at = question["answers"][0]["answer_start"]
                inside = [start <= at < end for start, end in paragraph["sentence_breaks"]]
                right = inside.index(True) if True in inside else None
                for position, (start, end) in enumerate(paragraph["sentence_breaks"]):
                    candidate = Candidate(f"{lang}_{number}_{position}", context[start:end], context)
                    yield candidate, question, position == right
    except (KeyError, TypeError, IndexError) as error:
        raise ScoresError(f"{path}: not XQuAD-R with sentence_breaks: {type(error).__name__}: {error}") from error


def _examples(task: Task, lang: str, inputs: Sequence[Input], labels: Sequence[Label]) -> Examples:
    return Examples(
        task=task.name,
        lang=lang,
        ids=tuple(str(number) for number in range(len(inputs))),
        inputs=tuple(inputs),
        labels=tuple(labels) if labels else None,
    )


def _raw_lines(path: Path) -> list[str]:
    return read_text(path).rstrip("\n").split("\n")


def _unquoted(cell: str) -> str:
    """Return a cell without the quotes that Python's csv writer puts around one with a quote in it."""
    cell = cell.strip()
    inner = cell[1:-1]
    if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return cell


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                where = f"{path}:{number}"
                try:
                    values = json.loads(line)
                except ValueError as error:
                    raise ScoresError(f"{where}: not a line of JSON: {error}") from error
                if not isinstance(values, dict):
                    raise ScoresError(f"{where}: not an object, but {line.strip()[:40]!r}")
                yield where, values
    except OSError as error:
        raise ScoresError(f"can't read {path}: {error.strerror}") from error


# --- where they are ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a task's files of a language and split are, and what reads them."""

    files: Callable[[Path, str, str], list[Path]]
    read: Callable[[Task, str, Sequence[Path]], Examples]


def _named(*patterns: str) -> Callable[[Path, str, str], list[Path]]:
    return lambda data, lang, split: [
        data / pattern.format(lang=lang, split=split, pivot=_PIVOT) for pattern in patterns
    ]


def _xcopa(data: Path, lang: str, split: str) -> list[Path]:
    return [data / "xcopa" / f"{'val' if split == 'dev' else split}.{lang}.jsonl"]


def _xquad_r(data: Path, lang: str, split: str) -> list[Path]:
    return [data / "lareqa" / "xquad-r" / f"{each}.json" for each in tasks()["lareqa"].langs]


_LAYOUT = {
    "xnli": _Layout(_named("xnli/{split}-{lang}.tsv"), _read_pairs),
    "pawsx": _Layout(_named("pawsx/{split}-{lang}.tsv"), _read_pairs),
    "xcopa": _Layout(_xcopa, _read_choices),
    "udpos": _Layout(_named("udpos/{split}-{lang}.tsv"), _read_words),
    "panx": _Layout(_named("panx/{split}-{lang}.tsv"), _read_words),
    "xquad": _Layout(_named("xquad/xquad.{lang}.json"), _read_questions),
    "mlqa": _Layout(_named("mlqa/MLQA_V1/{split}/{split}-context-{lang}-question-{lang}.json"), _read_questions),
    "tydiqa": _Layout(_named("tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.goldp.{lang}.dev.json"), _read_questions),
    "tatoeba": _Layout(_named("tatoeba/{lang}-{pivot}.{lang}", "tatoeba/{lang}-{pivot}.{pivot}"), _read_tatoeba),
    "bucc2018": _Layout(
        _named("bucc2018/{lang}-{pivot}.{split}.{lang}", "bucc2018/{lang}-{pivot}.{split}.{pivot}"), _read_bucc
    ),
    "mewslix": _Layout(_named("mewslix/wikinews_mentions-{split}.jsonl"), _read_mewslix),
    "lareqa": _Layout(_xquad_r, _read_lareqa),
}
