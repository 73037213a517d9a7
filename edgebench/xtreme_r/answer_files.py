"""Answers and labels in XTREME's format: TASK/test-LANG.SUFFIX, read as evaluate.py reads them, and checked.

Text files: one label, pair of ids or tag per line (a blank line ends a sentence). JSON lines: XCOPA's objects with a
`label`. JSON: answers or rankings by id; the labels of QA are in SQuAD's layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgebench import reading
from edgebench.errors import ScoresError, UnknownName
from edgebench.xtreme_r.layouts import first_value, has_unanswerable, layout_of
from edgebench.xtreme_r.tasks import Task

_SHOWN = 40  # characters of a wrong value in a message


def read_lines(path: Path) -> list[str]:
    """Return the lines of a file, without white space around them.

    Raises:
        ScoresError: it can't be read or is not UTF-8.
    """
    lines = read_text(path).split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.strip() for line in lines]


def read_text(path: Path, *, within: Path | None = None) -> str:
    """Return a file's text; `within`: the folder that it must not lead out of (default: that of all tasks).

    Raises:
        ScoresError: it can't be read or is not UTF-8.
    """
    try:
        return reading.read_text(path, most=reading.MOST_DATA_BYTES, within=within or path.parent.parent)
    except OSError as error:
        raise ScoresError(f"can't read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScoresError(f"{path} is not UTF-8 text") from error


def read_labels(path: Path, task: Task) -> list[str]:
    """Return one label per line. Labels must belong to the task; Tatoeba's are integers.

    Raises:
        ScoresError: as `read_lines`, or a label is unknown.
    """
    lines = read_lines(path)
    for number, line in enumerate(lines, start=1):
        if task.labels:
            _check_label(path, number, line, task)
        elif not re.fullmatch(r"-?[0-9]{1,18}", line):
            raise ScoresError(f"{path}:{number}: not the number of a line, but {line[:_SHOWN]!r}")
    return lines


def read_tags(path: Path, task: Task) -> list[list[str]]:
    """Return the tags of each sentence; one tag per line, a blank line after each sentence.

    Raises:
        ScoresError: as `read_lines`, or a tag is unknown.
    """
    sentences: list[list[str]] = []
    sentence: list[str] = []
    known = set(task.labels)
    for number, line in enumerate(read_lines(path), start=1):
        if not line:
            sentences.append(sentence)
            sentence = []
            continue
        if line not in known:
            _check_label(path, number, line, task)
        sentence.append(line)
    return [*sentences, sentence] if sentence else sentences


def read_choices(path: Path, task: Task) -> list[int | str]:
    """Return the `label` of each line's JSON object: 0 or 1, all of them numbers or all of them text.

    Raises:
        ScoresError: as `read_lines`; a line has another form; or numbers and text are mixed.
    """
    labels = []
    for number, line in enumerate(read_lines(path), start=1):
        values = _json(f"{path}:{number}", line)
        if not isinstance(values, dict) or "label" not in values:
            raise ScoresError(f"{path}:{number}: not an object with a 'label', but {line[:_SHOWN]!r}")
        label = values["label"]
        _check_label(path, number, str(int(label)) if type(label) in (bool, float) and label in (0, 1) else label, task)
        labels.append(label)
    if len({isinstance(label, str) for label in labels}) > 1:
        raise ScoresError(f"{path}: some labels are text and some numbers; they must be numbers, 0 or 1")
    return labels


def read_pairs(path: Path) -> set[tuple[str, ...]]:
    """Return the pairs of ids, one tab-separated pair per line; a repeated pair counts once.

    Raises:
        ScoresError: as `read_lines`, or a line has another form.
    """
    pairs: set[tuple[str, ...]] = set()
    for number, line in enumerate(read_lines(path), start=1):
        pair = tuple(line.split("\t"))
        if len(pair) != 2:
            raise ScoresError(f"{path}:{number}: not two ids with a tab between, but {line[:_SHOWN]!r}")
        pairs.add(pair)
    return pairs


def read_answers(path: Path) -> dict[str, str]:
    """Return the answer to each question.

    Raises:
        ScoresError: it is not a JSON object of texts, or an id occurs twice.
    """
    answers = _by_id(path)
    for question, answer in answers.items():
        if not isinstance(answer, str):
            raise ScoresError(f"{path}: the answer to {question} must be text, got {_shown(answer)}")
    return answers


def read_rankings(path: Path) -> dict[str, list[str]]:
    """Return the candidates of each query, best first (in a file of labels: the correct ones).

    Raises:
        ScoresError: it is not a JSON object of lists of ids, or an id occurs twice.
    """
    rankings = _by_id(path)
    for query, ranking in rankings.items():
        if not isinstance(ranking, list) or not all(isinstance(candidate, str) for candidate in ranking):
            raise ScoresError(f"{path}: the candidates of {query} must be a list of ids, got {_shown(ranking)}")
    return rankings


def parsed(path: Path) -> Any:
    """Return the JSON document in a file.

    Raises:
        ScoresError: as `read_text`; it is not JSON, contains NaN, or has a key twice in one object.
    """
    return _json(str(path), read_text(path))


def read_questions(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (context, question with id, question and answers) of a file in SQuAD's layout.

    Raises:
        ScoresError: it has another layout, or an id occurs twice.
    """
    document = _parsed_questions(path)
    articles = document.get("data", document) if isinstance(document, dict) else document
    if isinstance(articles, list) and has_unanswerable(articles):
        raise ScoresError(f"{path}: SQuAD 2.0 with questions that have no answer (is_impossible); the tasks have none")
    seen = set()
    try:
        for article in articles:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    if question["id"] is None:
                        raise ScoresError(f"{path}: a question has no id")
                    if question["id"] in seen:
                        raise ScoresError(f"{path}: the id {question['id']} is there twice")
                    seen.add(question["id"])
                    yield paragraph.get("context", ""), question
    except (KeyError, TypeError, AttributeError) as error:
        raise ScoresError(
            f"{path}: not in SQuAD's layout (data, paragraphs, qas with id and answers): "
            f"{type(error).__name__}: {error}"
        ) from error


def _parsed_questions(path: Path) -> Any:
    """Return the document of a file in SQuAD's layout; a known other layout is named."""
    text = read_text(path)
    try:
        document = _json(str(path), text)
    except ScoresError:
        document = first_value(text)  # of JSON lines
        if layout_of(document) is None:
            raise
    layout = layout_of(document)
    if layout is not None and "rows" in layout:
        raise ScoresError(f"{path}: {layout}; it takes SQuAD's layout (data, paragraphs, qas with id and answers)")
    return document


def read_right_answers(path: Path) -> dict[str, list[str]]:
    """Return the correct answers to each question of a file in SQuAD's layout.

    Raises:
        ScoresError: it has another layout, an id occurs twice, or a question has no answer.
    """
    rights = {}
    for _, question in read_questions(path):
        try:
            texts = [answer["text"] for answer in question["answers"]]
        except (KeyError, TypeError) as error:
            raise ScoresError(f"{path}: the question {question['id']} lacks answers with a text") from error
        if not texts or not all(isinstance(text, str) for text in texts):
            raise ScoresError(f"{path}: the question {question['id']} has no answers, or one that is no text")
        rights[str(question["id"])] = texts
    return rights


def check_ids(path: Path, known: Mapping[str, object], found: Mapping[str, object]) -> None:
    """Check that all ids are among the labels.

    Raises:
        ScoresError: some are not.
    """
    unknown = [id for id in found if id not in known]
    if unknown:
        raise ScoresError(
            f"{path}: {len(unknown)} of {len(found)} ids are not among the labels (the first: {unknown[0]}); "
            f"are they of another language or release?"
        )


def counts_from_one(numbers: Sequence[str], count: int) -> bool:
    """Return whether numbers of `count` lines count them from 1; they should count from 0."""
    values = {int(number) for number in numbers}
    return bool(values) and min(values) == 1 and max(values) == count


def check_line_numbers(path: Path, numbers: Sequence[str], count: int) -> None:
    """Check that Tatoeba's labels are numbers of lines, 0 to `count` - 1.

    Raises:
        ScoresError: they count from 1, or some are out of bounds.
    """
    if counts_from_one(numbers, count):
        raise ScoresError(f"{path}: counts the lines from 1 (1 to {count}); it takes numbers from 0 (0 to {count - 1})")
    for at, number in enumerate(numbers, start=1):
        if not 0 <= int(number) < count:
            raise ScoresError(f"{path}:{at}: there is no line {number}; the lines are 0 to {count - 1}")


def check_lengths(path: Path, found: Sequence[object], labels_path: Path, labels: Sequence[object], what: str) -> None:
    """Check that a file has as many lines or sentences as the labels.

    Raises:
        ScoresError: they differ.
    """
    if len(found) != len(labels):
        raise ScoresError(
            f"{path} has {len(found)} {what} and {labels_path} has {len(labels)}; "
            f"they must be aligned, {what.removesuffix('s')} by {what.removesuffix('s')}"
        )


def _check_label(path: Path, number: int, label: Any, task: Task) -> None:
    if str(label) in task.labels and type(label) in (str, int):
        return
    where = f"{path}:{number}"
    if not isinstance(label, str):
        raise ScoresError(f"{where}: unknown label {_shown(label)} of {task.name}; known: {', '.join(task.labels)}")
    raise ScoresError(f"{where}: {UnknownName(f'label of {task.name}', label[:_SHOWN], task.labels)}")


def _by_id(path: Path) -> dict[str, Any]:
    document = parsed(path)
    if isinstance(document, dict) and isinstance(document.get("data"), dict):
        document = document["data"]  # as evaluate.py does
    if not isinstance(document, dict):
        raise ScoresError(f"{path}: not a JSON object by id, but {_shown(document)}")
    return document


def _json(where: str, text: str) -> Any:
    def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ScoresError(f"{where}: the id {twice} is there twice")
        return values

    try:
        return reading.parse_json(text, pairs=unique)
    except reading.NoValue as error:
        raise ScoresError(f"{where}: {error}; what made it?") from error
    except ValueError as error:
        raise ScoresError(f"{where}: not JSON: {error}") from error


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
