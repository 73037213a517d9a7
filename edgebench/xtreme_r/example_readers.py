"""One reader for each layout of a task's files: lines, JSON lines, SQuAD-like JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgebench.errors import ScoresError, UnknownName
from edgebench.xtreme_r import answer_files
from edgebench.xtreme_r.answer_files import read_lines, read_questions, read_text
from edgebench.xtreme_r.example_types import Candidate, Choice, Examples, Input, Label, Pair, Question, Words
from edgebench.xtreme_r.tasks import Task


def read_pairs_task(task: Task, lang: str, files: Sequence[Path]) -> Examples:
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


def read_choices_task(task: Task, lang: str, files: Sequence[Path]) -> Examples:
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


def read_words_task(task: Task, lang: str, files: Sequence[Path]) -> Examples:
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


def read_questions_task(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    ids, inputs, labels = [], [], []
    for context, question in read_questions(files[0]):
        ids.append(str(question["id"]))
        inputs.append(Question(context, question.get("question", "")))
        labels.append(tuple(answer["text"] for answer in question.get("answers", ()) if answer.get("text")))
    return replace(_examples(task, lang, inputs, labels if all(labels) else []), ids=tuple(ids))


def read_tatoeba(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    candidates = tuple(Candidate(str(number), text) for number, text in enumerate(read_lines(files[1])))
    return replace(_examples(task, lang, read_lines(files[0]), []), candidates=candidates)


def read_bucc(task: Task, lang: str, files: Sequence[Path]) -> Examples:
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


def read_mewslix(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    ids, texts, labels, about = [], [], [], []
    for where, values in _json_lines(files[0]):
        try:
            context = values["context"]
            if context["language"] != lang:
                continue
            for mention in values["mentions"]:
                ids.append(mention["example_id"])
                texts.append(_mention_text(context, mention["mention_span"]))
                labels.append((mention["entity_id"],))
                about.append(where)
        except (KeyError, TypeError) as error:
            raise ScoresError(f"{where}: not mentions of Mewsli-X: {type(error).__name__}: {error}") from error
    return replace(_examples(task, lang, texts, labels), ids=tuple(ids), texts=tuple(about))


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


def read_lareqa(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    """Questions of one language; candidates are the sentences of all, of which each may be right for several."""
    candidates: dict[str, Candidate] = {}
    rights: dict[str, list[str]] = {}
    ids, inputs, about = [], [], []
    for path, of in zip(files, task.langs, strict=True):
        for candidate, question, is_right in _lareqa_sentences(path, of):
            candidates[candidate.id] = candidate
            if is_right:
                rights.setdefault(question["id"], []).append(candidate.id)
                if of == lang:
                    ids.append(question["id"])
                    inputs.append(question["question"])
                    about.append(candidate.context)
    labels = [tuple(rights[id]) for id in ids]
    return replace(
        _examples(task, lang, inputs, labels),
        ids=tuple(ids),
        candidates=tuple(candidates.values()),
        texts=tuple(about),
    )


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
