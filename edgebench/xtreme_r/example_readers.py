"""Readers of JSON lines, SQuAD-like JSON and lines of sentences; the others are `pair_reader` and `word_reader`."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgebench.errors import ScoresError
from edgebench.reading import MOST_DOCUMENT_BYTES, open_file, parse_json
from edgebench.xtreme_r import answer_files
from edgebench.xtreme_r.answer_files import read_lines, read_questions
from edgebench.xtreme_r.example_types import Candidate, Choice, Examples, Question, new_examples
from edgebench.xtreme_r.tasks import Task


def read_choices_task(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    inputs, labels = [], []
    seen: set[Any] = set()
    for where, values in _json_lines(files[0]):
        try:
            question = str(values["question"]).strip().lower()
            inputs.append(Choice(values["premise"], question, (values["choice1"], values["choice2"])))
        except KeyError as error:
            raise ScoresError(f"{where}: not an example of XCOPA: it lacks {error}") from error
        if not all(isinstance(text, str) and text.strip() for text in (inputs[-1].premise, *inputs[-1].choices)):
            raise ScoresError(f"{where}: the premise or a choice is no text, or empty")
        if question not in _ASKED:
            raise ScoresError(
                f"{where}: the question is {values['question']!r:.40}, and XCOPA asks for cause or effect"
            )
        if (idx := values.get("idx")) is not None and str(idx) in seen:
            raise ScoresError(f"{where}: the idx {idx} is there twice")
        seen.add(str(idx))
        label = values.get("label")
        if label is not None:
            if type(label) not in (int, str) or str(label) not in (*task.labels, _HIDDEN):
                raise ScoresError(f"{where}: unknown label {label!r} of xcopa; known: 0, 1")
            labels.append(int(label))
    if set(labels) == {int(_HIDDEN)}:
        labels = []
    lacking = len(inputs) - sum(label in (0, 1) for label in labels)
    if labels and lacking:
        raise ScoresError(f"{files[0]}: {lacking} of {len(inputs)} lines lack a label")
    return new_examples(task, lang, inputs, labels)


def read_questions_task(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    ids, inputs, labels = [], [], []
    astray = 0
    for context, question in read_questions(files[0]):
        if not all(isinstance(text, str) for text in (context, question.get("question", ""))):
            raise ScoresError(f"{files[0]}: the question {question['id']} or its context is no text")
        if not context.strip() or not question.get("question", "").strip():
            raise ScoresError(f"{files[0]}: the question {question['id']} has no text, or no context to answer from")
        ids.append(str(question["id"]))
        inputs.append(Question(context, question["question"]))
        try:
            rights = tuple(answer["text"] for answer in question.get("answers", ()) if answer.get("text"))
        except (AttributeError, KeyError, TypeError) as error:
            raise ScoresError(f"{files[0]}: the answers to {question['id']} are no list of texts") from error
        if not all(isinstance(right, str) for right in rights):
            raise ScoresError(f"{files[0]}: the answers to {question['id']} are no list of texts")
        labels.append(rights)
        astray += bool(rights) and not any(right in context for right in rights)
    without = sum(not rights for rights in labels)
    if 0 < without < len(labels):
        raise ScoresError(f"{files[0]}: {without} of {len(labels)} questions have no answer, the others have one")
    if astray > len(labels) / 2:
        raise ScoresError(f"{files[0]}: the answers to {astray} of {len(labels)} questions are not in their contexts")
    return replace(new_examples(task, lang, inputs, labels if not without else []), ids=tuple(ids))


def read_tatoeba(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    queries, english = (_sentences(path) for path in files)
    if len(queries) != len(english):
        raise ScoresError(
            f"{files[0]} has {len(queries)} sentences and {files[1]} has {len(english)}; each has one translation"
        )
    candidates = tuple(Candidate(str(number), text) for number, text in enumerate(english))
    return replace(new_examples(task, lang, queries, []), candidates=candidates)


def _sentences(path: Path) -> list[str]:
    """Return one sentence a line; a blank line would shift what belongs together, or be a sentence of its own."""
    lines = read_lines(path)
    if "" in lines:
        at = lines.index("") + 1
        raise ScoresError(f"{path}:{at}: a blank line{' at the end' if at == len(lines) else ''}; remove it")
    return lines


def read_bucc(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    queries, candidates = (tuple(_identified(path)) for path in files)
    examples = new_examples(task, lang, [query.text for query in queries], [])
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
    seen: set[str] = set()
    for where, values in _json_lines(files[0]):
        try:
            context = values["context"]
            if context["language"] != lang:
                continue
            for mention in values["mentions"]:
                if mention["example_id"] in seen:
                    raise ScoresError(f"{where}: the example {mention['example_id']} is there twice")
                seen.add(mention["example_id"])
                ids.append(mention["example_id"])
                texts.append(_mention_text(where, context, mention["mention_span"]))
                labels.append((mention["entity_id"],))
                about.append(where)
        except (KeyError, TypeError) as error:
            raise ScoresError(f"{where}: not mentions of Mewsli-X: {type(error).__name__}: {error}") from error
    return replace(new_examples(task, lang, texts, labels), ids=tuple(ids), texts=tuple(about))


_ASKED = ("cause", "effect")
_HIDDEN = "-1"  # the label of test sets whose labels are kept secret, in Hugging Face's datasets
_BRACES = re.compile(r"\{(.*?)\}")


def _mention_text(where: str, context: Mapping[str, Any], span: Mapping[str, Any]) -> str:
    """Return a mention as Mewsli-X's baseline gives it to a model: "Smith: The verdict for { Smith } came".

    Its context is the sentence that it stands in; braces that are there already become parentheses.
    """
    start, end = span["start"], span["end"]
    mention = context["text"][start:end]
    if not mention or start < 0 or mention != span.get("text", mention):
        raise ScoresError(f"{where}: characters {start} to {end} are {mention!r:.40}, not {span.get('text')!r:.40}")
    around = [s for s in context["sentence_spans"] if s["start"] <= start and end <= s["end"]]
    first, last = (around[0]["start"], around[0]["end"]) if around else (0, len(context["text"]))
    before, after = (_BRACES.sub(r"(\1)", part) for part in (context["text"][first:start], context["text"][end:last]))
    return _plain(f"{mention}: {before} {{ {mention} }} {after}")


def _plain(text: str) -> str:
    return " ".join(text.splitlines()).replace("  ", " ").strip()


def read_lareqa(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    """Questions of one language; candidates are the sentences of all, of which each may be right for several."""
    candidates: dict[str, Candidate] = {}
    rights: dict[str, list[str]] = {}
    ids, inputs, about = [], [], []
    for path, of in zip(files, task.langs, strict=True):
        asked: set[str] = set()
        for candidate, question, is_right in _lareqa_sentences(path, of):
            candidates[candidate.id] = candidate
            if is_right:
                if question["id"] in asked:
                    raise ScoresError(f"{path}: the question {question['id']} is there twice")
                asked.add(question["id"])
                rights.setdefault(question["id"], []).append(candidate.id)
                if of == lang:
                    ids.append(question["id"])
                    inputs.append(question["question"])
                    about.append(candidate.context)
    labels = [tuple(rights[id]) for id in ids]
    return replace(
        new_examples(task, lang, inputs, labels),
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
                if not all(isinstance(text, str) for text in (context, question["id"], question["question"])):
                    raise TypeError("a text is none")
                for position, (start, end) in enumerate(paragraph["sentence_breaks"]):
                    candidate = Candidate(f"{lang}_{number}_{position}", context[start:end], context)
                    yield candidate, question, position == right
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ScoresError(f"{path}: not XQuAD-R with sentence_breaks: {type(error).__name__}: {error}") from error


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with io.TextIOWrapper(open_file(path, within=path.parent.parent), encoding="utf-8-sig") as file:
            for number in itertools.count(1):
                line = file.readline(MOST_DOCUMENT_BYTES)
                if not line:
                    return
                if not line.strip():
                    continue
                where = f"{path}:{number}"
                try:
                    values = parse_json(line)
                except ValueError as error:
                    raise ScoresError(f"{where}: not a line of JSON: {error}") from error
                if not isinstance(values, dict):
                    raise ScoresError(f"{where}: not an object, but {line.strip()[:40]!r}")
                yield where, values
    except OSError as error:
        raise ScoresError(f"can't read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScoresError(f"{path} is not UTF-8 text") from error


def mewslix_candidates(data: Path) -> Iterator[Candidate]:
    """Yield the million entities that Mewsli-X's mentions are matched with, one after the other.

    Raises:
        ScoresError: the file is missing or not what it should be.
    """
    path = data / "mewslix" / "candidate_set_entities.jsonl"
    seen: set[str] = set()
    for where, entity in _json_lines(path):
        try:
            if entity["entity_id"] in seen:
                raise ScoresError(f"{where}: the entity {entity['entity_id']} is there twice")
            seen.add(entity["entity_id"])
            spans = [entity["description"][span["start"] : span["end"]] for span in entity["sentence_spans"]]
            yield Candidate(entity["entity_id"], _plain(" ".join(spans)))
        except (KeyError, TypeError) as error:
            raise ScoresError(f"{where}: not an entity of Mewsli-X: {type(error).__name__}: {error}") from error
