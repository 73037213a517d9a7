"""Files of texts that a user gives as inputs: one text a line, or the same texts in several languages (JSON, CSV)."""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebench.errors import ConfigError
from edgebench.reading import parse_json, read_bytes, unique_keys
from edgebench.text import counted

_MOST_BYTES = 1 << 30
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
_DELIMITERS = (",", ";", "\t", "|")
_TABLES = (".csv", ".tsv", ".tab")
_DOCUMENTS = (".json", ".jsonl", ".ndjson")
#: What other files begin with, what they are, and what to do.
_OTHER_FILES = (
    (b"\x1f\x8b", "compressed by gzip", "unpack it: gunzip"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet", "unpack it, or save its texts as CSV"),
    (b"\xfd7zXZ", "compressed by xz", "unpack it: unxz"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it: unzstd"),
    (b"PAR1", "Parquet", "save its texts one a line, or as CSV"),
    (b"ARROW1", "Arrow", "save its texts one a line, or as CSV"),
    (b"\xff\xfe", "UTF-16", "convert it: iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16", "convert it: iconv -f UTF-16 -t UTF-8"),
)
_LAYOUTS = 'one text a line, {"en": ["one", "two"], "sw": ["moja", "mbili"]}, or CSV with a column for each language'


@dataclass(frozen=True, slots=True)
class InputTexts:
    """What a file of texts holds: `lines` of one language, or the texts of each language in `parallel`, aligned."""

    lines: tuple[str, ...] | None = None
    parallel: Mapping[str, tuple[str, ...]] | None = None


def read_input_texts(path: Path) -> InputTexts:
    r"""Return the texts of a file.

    A byte-order mark is no part of them. Lines end at \n or \r\n only: other characters that Unicode counts as line
    breaks (U+2028, U+0085, \v) belong to a text. Blank lines are left out. JSON and CSV are recognised by their
    content, also under another suffix, and are never taken as lines.

    Raises:
        ConfigError: it can't be read, has no text, or is JSON or CSV of another layout.
    """
    content = _content(path)
    texts = _from_document(path, content)
    if texts is None:
        texts = _from_table(path, content)
    if texts is None:
        texts = InputTexts(lines=tuple(line for line in _lines(content) if line.strip()))
    if not (texts.lines or texts.parallel):
        raise ConfigError(f"{path} has no text in it")
    return texts


def _content(path: Path) -> str:
    try:
        content = _decoded(path, read_bytes(path, most=_MOST_BYTES, within=path.parent))
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}") from error
    if "\0" in content:
        raise ConfigError(f"{path} is not text: it has NUL characters")
    if "\r" in content and "\n" not in content:
        raise ConfigError(
            f"{path}: its lines end with a carriage return alone, and would be one text",
            hint=f"convert it: tr '\\r' '\\n' < {shlex.quote(path.name)}",
        )
    return content


def _decoded(path: Path, data: bytes) -> str:
    for start, what, hint in _OTHER_FILES:
        if data.startswith(start):
            raise ConfigError(f"{path} is not text, but {what}", hint=hint)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text: {error}", hint="convert it: iconv -f ENCODING -t UTF-8, e.g. -f LATIN1"
        ) from error


def _lines(content: str) -> list[str]:
    return [line.removesuffix("\r") for line in content.split("\n")]


def _from_document(path: Path, content: str) -> InputTexts | None:
    """Return the texts of a JSON document; None: the file is no JSON.

    Raises:
        ConfigError: it is JSON, or is called so, and holds something else or is damaged.
    """
    start = content.lstrip()[:1]
    is_called_json = path.suffix.lower() in _DOCUMENTS
    if not is_called_json and start not in ("{", "["):
        return None
    try:
        document = parse_json(content, pairs=unique_keys)
    except ValueError as error:
        if is_called_json or _looks_like_json(content):
            what = "JSON lines" if _are_json_lines(content) else f"not JSON: {error}"
            raise ConfigError(f"{path}: not texts, but {what}; texts are {_LAYOUTS}") from error
        return None
    if isinstance(document, list) and all(isinstance(text, str) for text in document):
        return InputTexts(lines=tuple(text for text in document if text.strip()))
    languages = _languages(document)
    if languages is None:
        raise ConfigError(f"{path}: not parallel texts, but other JSON; texts are {_LAYOUTS}")
    _check_aligned(path, languages)
    return InputTexts(parallel=languages)


def _looks_like_json(content: str) -> bool:
    """Whether a text begins as JSON does, and not as a sentence in brackets."""
    return re.match(r'\s*(\{\s*("|\})|\[\s*(["{\[]))', content) is not None


def _are_json_lines(content: str) -> bool:
    lines = [line for line in _lines(content) if line.strip()]
    try:
        return len(lines) > 1 and all(isinstance(parse_json(line), dict | list | str) for line in lines)
    except ValueError:
        return False


def _languages(document: Any) -> Mapping[str, tuple[str, ...]] | None:
    """Return the texts by language of a document, or of its only entry beside those that begin with `_`."""
    if not isinstance(document, dict):
        return None
    values = {key: value for key, value in document.items() if not key.startswith("_")}
    if len(values) == 1 and isinstance(only := next(iter(values.values())), dict):
        return _languages(only)
    if not all(isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in values.values()):
        return None
    return {lang: tuple(texts) for lang, texts in values.items()}


def _check_aligned(path: Path, languages: Mapping[str, Sequence[str]]) -> None:
    if len({len(texts) for texts in languages.values()}) > 1:
        (first, texts), *others = languages.items()
        lang, other = next((lang, other) for lang, other in others if len(other) != len(texts))
        raise ConfigError(
            f"{path}: {lang} has {counted(len(other), 'text')} and {first} has {len(texts)}; "
            f"parallel texts must be aligned"
        )
    for lang, texts in languages.items():
        for position, text in enumerate(texts):
            if not text.strip():
                raise ConfigError(f"{path}: text {position + 1} of {lang} is empty; parallel texts must be aligned")


def _from_table(path: Path, content: str) -> InputTexts | None:
    """Return the texts of a CSV table whose header names languages; None: the file is no table.

    Raises:
        ConfigError: it is called a table and has another header, or a row does not fit the header.
    """
    is_called_table = path.suffix.lower() in _TABLES
    header_line = _lines(content)[0]
    delimiter = max(_DELIMITERS, key=header_line.count)
    try:
        header = [name.strip() for name in next(csv.reader([header_line], delimiter=delimiter), [])]
    except csv.Error as error:
        if is_called_table:
            raise ConfigError(f"{path} is not CSV: {error}") from error
        return None
    named = len(header) > 1 and len(set(header)) == len(header) and all(map(_LANGUAGE.fullmatch, header))
    if not named:
        if is_called_table:
            columns = ", ".join(header[:5]) or "nothing"
            raise ConfigError(
                f"{path}: its columns ({columns}) are not codes of languages, such as en{delimiter}sw; texts are "
                f"{_LAYOUTS}"
            )
        return None
    try:
        rows = [row for row in csv.reader(io.StringIO(content, newline=""), delimiter=delimiter) if any(row)][1:]
    except csv.Error as error:
        raise ConfigError(f"{path} is not CSV: {error}") from error
    wrong = next((number for number, row in enumerate(rows, 2) if len(row) != len(header)), None)
    if wrong is not None or not rows:
        if not is_called_table:
            return None  # a text that happens to begin with such words
        fault = f"row {wrong} has not {len(header)} columns" if wrong is not None else "there is no row"
        raise ConfigError(f"{path}: {fault}, as its header has ({', '.join(header)})")
    languages = {lang: tuple(row[at] for row in rows) for at, lang in enumerate(header)}
    _check_aligned(path, languages)
    return InputTexts(parallel=languages)
