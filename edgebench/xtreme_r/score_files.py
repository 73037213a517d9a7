"""Scores that other tools made: rows of variant, task, language, metric and value, 0..100, as CSV or JSON lines.

Optional columns: format and artifact_sha256 (the score belongs to this format or file, else to the variant),
n (examples), the origin (runtime, batch, padding, protocol, conventions, encoder, source, source_sha256), and scale.
A score on 0..1 looks like a low score on 0..100, so an ambiguous file is refused unless each ambiguous row has a
`scale` (1 or 100). Other columns are ignored.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgebench.errors import ScoresError, StoreError, UnknownName
from edgebench.reading import MOST_DATA_BYTES, parse_json, read_text, unique_keys
from edgebench.xtreme_r.scores import ScoreRow
from edgebench.xtreme_r.tasks import Task, find_metric, find_task

REQUIRED = ("variant", "task", "lang", "metric", "value")

_TEXTS = ("source", "runtime", "padding", "protocol", "conventions", "encoder")
_BETWEEN = " | "  # caveats in a cell of CSV
#: As spreadsheets write it where the columns are separated by semicolons.
_DECIMAL_COMMA = re.compile(r"[0-9]+,[0-9]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _Line:
    """A row with its line number; `scale`: of its column, if any."""

    number: int
    row: ScoreRow
    scale: int | None


def read_scores(path: Path, *, scale: int | None = None, variant: str | None = None) -> list[ScoreRow]:
    """Return the rows of a file of scores: JSON lines or a JSON list by its first character, else CSV.

    Args:
        scale: for rows without a scale, 1 or 100.
        variant: for rows without a variant.

    Raises:
        ScoresError: it can't be read; a column or value is missing or out of bounds; a task, or a language or metric
            of it, is unknown; a row occurs twice; or the scale of a value is ambiguous.
    """
    try:
        text = read_text(path, most=MOST_DATA_BYTES, within=path.parent)
    except OSError as error:
        raise ScoresError(f"can't read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScoresError(f"{path} is not UTF-8 text") from error
    read = {"{": _json_lines, "[": _json_list}.get(text.lstrip()[:1], _csv_lines)
    given = {name: value for name, value in (("variant", variant), ("scale", scale)) if value is not None}
    lines = [_line(f"{path}:{number}", number, values, given) for number, values in read(path, text, given)]
    if not lines:
        raise ScoresError(f"{path} has no scores in it")
    _refuse_duplicates(path, lines)
    _refuse_doubtful_scales(path, lines)
    rows = [line.row if line.scale != 1 else replace(line.row, value=100 * line.row.value) for line in lines]
    return [row.with_caveats() for row in rows]


def write_scores(path: Path, rows: Sequence[ScoreRow]) -> None:
    """Write a file of scores that `read_scores` reads: JSON lines where the name ends in .jsonl, else CSV.

    Every row has the scale 100.

    Raises:
        StoreError: it can't be written.
    """
    table = [asdict(row) | {"caveats": list(row.caveats) or None, "scale": 100} for row in rows]
    columns = [name for name in table[0] if any(values[name] is not None for values in table)]
    text = io.StringIO(newline="")
    if path.suffix == ".jsonl":
        for values in table:
            kept = {name: values[name] for name in columns if values[name] is not None}
            text.write(json.dumps(kept, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(values | {"caveats": _BETWEEN.join(values["caveats"] or ())} for values in table)
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_text(text.getvalue(), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"can't write {path}: {error.strerror}") from error


# --- reading ----------------------------------------------------------------------------------------------------


def _json_lines(path: Path, text: str, _: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = parse_json(line, not_finite=True, pairs=unique_keys)
        except ValueError as error:
            raise ScoresError(f"{path}:{number}: not a line of JSON: {error}") from error
        if not isinstance(values, dict):
            raise ScoresError(f"{path}:{number}: not an object, but {line.strip()[:40]!r}")
        yield number, values


def _json_list(path: Path, text: str, _: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        document = parse_json(text, not_finite=True, pairs=unique_keys)
    except ValueError as error:
        raise ScoresError(f"{path}: not JSON: {error}") from error
    for number, values in enumerate(document, start=1):
        if not isinstance(values, dict):
            raise ScoresError(f"{path}: entry {number}: not an object, but {values!r:.40}")
        yield number, values


def _csv_lines(path: Path, text: str, defaults: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in REQUIRED if name not in header and name not in defaults]
        if missing:
            raise ScoresError(
                f"{path}:1: lacks the column {', '.join(missing)}; a file of scores has {', '.join(REQUIRED)}"
            )
        if twice := [name for name in header if name and header.count(name) > 1]:
            raise ScoresError(f"{path}:1: the column {twice[0]} is there twice; keep one of them")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise ScoresError(f"{path}:{reader.line_num}: {len(cells)} cells under {len(header)} columns")
            values = {name: cell.strip() for name, cell in zip(header, cells, strict=True) if cell.strip()}
            if delimiter == ";" and _DECIMAL_COMMA.fullmatch(values.get("value", "")):
                values["value"] = values["value"].replace(",", ".")
            yield reader.line_num, values
    except csv.Error as error:
        raise ScoresError(f"{path}:{reader.line_num}: not valid CSV: {error}") from error


def _delimiter(text: str) -> str:
    """Return what stands between the columns: a comma, or the semicolon or tab that the header has instead."""
    header = text.lstrip().partition("\n")[0].replace('"', "")

    def columns(delimiter: str) -> set[str]:
        return {name.strip() for name in header.split(delimiter)} & set(REQUIRED)

    return next((each for each in (",", ";", "\t") if len(columns(each)) > 1), ",")


def _line(where: str, number: int, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> _Line:
    given = dict(defaults) | {name: value for name, value in values.items() if value is not None}
    missing = [name for name in REQUIRED if name not in given]
    if missing:
        raise ScoresError(f"{where}: lacks {', '.join(missing)}")
    try:
        task = find_task(_text(where, given, "task"))
        metric = find_metric(task, _text(where, given, "metric"))
        lang = _language(task, _text(where, given, "lang"))
    except UnknownName as error:
        raise ScoresError(f"{where}: {error}") from error
    scale = _positive_integer(where, given, "scale")
    if scale not in (None, 1, 100):
        raise ScoresError(f"{where}: scale must be 1 or 100, got {scale}")
    row = ScoreRow(
        variant=_text(where, given, "variant"),
        task=task.name,
        lang=lang,
        metric=metric,
        value=_value(where, given["value"], highest=scale or 100),
        format=_optional(_text, where, given, "format"),
        artifact_sha256=_sha256(where, _optional(_text, where, given, "artifact_sha256")),
        n=_positive_integer(where, given, "n"),
        batch=_positive_integer(where, given, "batch"),
        source_sha256=_sha256(where, _optional(_text, where, given, "source_sha256")),
        caveats=_caveats(where, given),
        **{name: _optional(_text, where, given, name) for name in _TEXTS},
    )
    return _Line(number, row, scale)


def _language(task: Task, lang: str) -> str:
    if lang not in task.langs:
        raise UnknownName(f"language of {task.name}", lang, task.langs)
    return lang


def _optional(read: Callable[..., Any], where: str, values: Mapping[str, Any], name: str) -> Any:
    return read(where, values, name) if name in values else None


def _text(where: str, values: Mapping[str, Any], name: str) -> str:
    value = values[name]
    if not isinstance(value, str) or not value.strip():
        raise ScoresError(f"{where}: {name} must be text, got {value!r}")
    return value.strip()


def _positive_integer(where: str, values: Mapping[str, Any], name: str) -> int | None:
    value = values.get(name)
    if value is None:
        return None
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) == 0:
        raise ScoresError(f"{where}: {name} must be a whole number above 0, got {value!r}")
    return int(text)


def _caveats(where: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    found = values.get("caveats", ())
    texts = found.split(_BETWEEN) if isinstance(found, str) else found
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ScoresError(f"{where}: caveats must be a list of texts, got {found!r}")
    return tuple(text.strip() for text in texts if text.strip())


def _sha256(where: str, value: str | None) -> str | None:
    if value is not None and not _SHA256.fullmatch(value):
        raise ScoresError(f"{where}: artifact_sha256 must be 64 hexadecimal digits, got {value!r}")
    return value


def _value(where: str, value: Any, *, highest: int) -> float:
    try:
        number = float(value) if type(value) in (int, float, str) and "_" not in str(value) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if math.isnan(number):
        raise ScoresError(f"{where}: value must be a number, got {value!r}")
    if not 0 <= number <= highest:
        raise ScoresError(f"{where}: value must be 0..{highest}, got {value}")
    return number


def refuse_duplicates(rows: Sequence[ScoreRow]) -> None:
    """Refuse rows of several files that score the same thing twice.

    Raises:
        ScoresError: there are some.
    """
    seen: dict[tuple[str | None, ...], ScoreRow] = {}
    for row in rows:
        if (other := seen.setdefault(_key(row), row)) is not row:
            raise ScoresError(
                f"{row.metric} of {row.variant} on {row.task} in {row.lang} is in {other.source} and in {row.source}; "
                f"keep one of them, or tell them apart with `variant` or `format`"
            )


def _key(row: ScoreRow) -> tuple[str | None, ...]:
    return (row.variant, row.task, row.lang, row.metric, row.format, row.artifact_sha256)


# --- checks across rows -----------------------------------------------------------------------------------------


def _refuse_duplicates(path: Path, lines: Sequence[_Line]) -> None:
    seen: dict[tuple[str | None, ...], int] = {}
    for line in lines:
        row = line.row
        key = _key(row)
        if key in seen:
            raise ScoresError(
                f"{path}:{line.number}: {row.metric} of {row.variant} on {row.task} in {row.lang} "
                f"is already in line {seen[key]}; keep one of them"
            )
        seen[key] = line.number


def _refuse_doubtful_scales(path: Path, lines: Sequence[_Line]) -> None:
    """Refuse values in (0, 1] whose row doesn't say which scale it is on; 0 is the same on both."""
    for line in lines:
        row = line.row
        if line.scale is not None or not 0 < row.value <= 1:
            continue
        same = [
            other.row.value
            for other in lines
            if (other.row.variant, other.row.task, other.row.metric) == (row.variant, row.task, row.metric)
        ]
        mixed = max(same) > 1
        raise ScoresError(
            f"{path}:{line.number}: {row.metric} of {row.variant} on {row.task}: "
            f"{'some values are at most 1 and others above' if mixed else 'no value is above 1'}, "
            f"which may be a scale of 0..1 where 0..100 is expected (here {row.value:g}); "
            f"multiply by 100, or say what it is in a column 'scale' (1 or 100); 'scores import' takes `scale`"
        )
