"""Reader of UDPOS's and WikiANN's files: a word a line, and its tag after a tab; a blank line ends a sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgebench.errors import ScoresError, UnknownName
from edgebench.xtreme_r.answer_files import read_text
from edgebench.xtreme_r.example_types import Examples, Words, new_examples
from edgebench.xtreme_r.tasks import Task

#: What is around a cell. NBSP and U+3000 are not: they are words of UD.
_AROUND = " \r\ufeff"
_PREFIX = re.compile(r"([a-z]{2,3}(?:-[a-z]+)*):")
_OTHER_SEPARATORS = re.compile(r"[ ,;]+")
_CONLLU_COLUMNS = 10
_MIXED = 0.1  # share of words with a language before them above which a file is refused
_Sentence = list[list[str]]


def read_words_task(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    """Return the sentences of a file; tags in any case.

    WikiANN's own files have the language before each word ("de:Haus"), which XTREME's utils_preprocess.py takes away;
    so does this.

    Raises:
        ScoresError: lines have another number of cells than one or two, or the wrong order; a tag is unknown; some
            words have a tag and some none; or the words are of another language.
    """
    path = files[0]
    sentences = _without_language(path, list(_sentences(path)), lang) if task.name == "panx" else list(_sentences(path))
    cells = [line for sentence in sentences for line in sentence]
    widths = {len(line) for line in cells}
    known = {label.lower(): label for label in task.labels}
    _refuse_layout(path, cells, widths, set(known))
    words = [Words(tuple(line[0] for line in sentence)) for sentence in sentences]
    if widths != {2}:
        return new_examples(task, lang, words, [])
    unknown = {line[1] for line in cells if line[1].lower() not in known}
    if unknown:
        raise ScoresError(f"{path}: {UnknownName(f'label of {task.name}', min(unknown), task.labels)}")
    return new_examples(
        task, lang, words, [tuple(known[line[1].lower()] for line in sentence) for sentence in sentences]
    )


def _sentences(path: Path) -> Iterator[_Sentence]:
    sentence: _Sentence = []
    for line in read_text(path).split("\n"):
        if line.strip(_AROUND + "\t"):
            sentence.append([cell.strip(_AROUND) for cell in line.split("\t")])
        elif sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _refuse_layout(path: Path, lines: Sequence[Sequence[str]], widths: set[int], labels: set[str]) -> None:
    if _CONLLU_COLUMNS in widths:
        raise ScoresError(
            f"{path}: {_CONLLU_COLUMNS} columns, as CoNLL-U has them; it takes a word and its tag with a tab between",
            hint="XTREME's scripts make such files of UD's",
        )
    if not widths <= {1} and not widths <= {2}:
        raise ScoresError(f"{path}: some words have a tag and some have none, or lines have more than two cells")
    if widths == {2} and all(line[0].lower() in labels for line in lines) and len(lines) > 1:
        others = [line[1] for line in lines if line[1].lower() not in labels]
        if others:
            raise ScoresError(f"{path}: the tags are in the first column; it takes a word, a tab and its tag")
    if widths == {1}:
        parts = [_OTHER_SEPARATORS.split(line[0]) for line in lines]
        if all(len(each) > 1 and each[-1].lower() in labels for each in parts):
            raise ScoresError(f"{path}: no tab between word and tag, but a space, comma or semicolon; it takes a tab")


def _without_language(path: Path, sentences: list[_Sentence], lang: str) -> list[_Sentence]:
    """Return WikiANN's words without "LANG:" before them, if all have it."""
    words = [line[0] for sentence in sentences for line in sentence]
    found = Counter(match[1] for word in words if (match := _PREFIX.match(word)))
    if not found:
        return sentences
    prefix, times = found.most_common(1)[0]
    if times == len(words):
        if prefix != lang:
            raise ScoresError(f"{path}: every word begins with {prefix + ':'!r}: the words are not of {lang}")
        return [[[line[0][len(prefix) + 1 :].strip(_AROUND), *line[1:]] for line in sentence] for sentence in sentences]
    if found[lang] > _MIXED * len(words):
        raise ScoresError(
            f"{path}: {found[lang]} of {len(words)} words begin with {lang + ':'!r}, as in WikiANN's own files, and "
            f"the others do not",
            hint="keep either WikiANN's own file or what XTREME's scripts make of it",
        )
    return sentences
