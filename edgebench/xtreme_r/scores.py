"""Scores that other tools made: rows of variant, task, language, metric and value, 0..100, as CSV or JSON lines.

Optional columns: format and artifact_sha256 (whose score it is: this file's, this format's, or just the variant's),
n (examples), how it came about (runtime, batch, padding, protocol, conventions, encoder, source, source_sha256), and
scale. A score on 0..1 is not told from one on 0..100 by looking at it, so a file that leaves
room for doubt is refused; `scale` (1 or 100) takes the doubt away, row by row. Other columns are ignored.
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
from edgebench.figures import Score
from edgebench.xtreme_r.tasks import Task, all_tasks, find_metric, find_task

REQUIRED = ("variant", "task", "lang", "metric", "value")

_TEXTS = ("source", "runtime", "padding", "protocol", "conventions", "encoder")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """One row: `task` and `metric` as edgebench names them, `value` 0..100.

    runtime, batch, padding: what the scored model ran with. protocol: who scored it, and how. conventions: what figures
    by another convention would differ by. encoder: what became of the encoder ("frozen", "tuned" ...).
    source, source_sha256: the file that the row is from.
    """

    variant: str
    task: str
    lang: str
    metric: str
    value: float
    format: str | None = None
    artifact_sha256: str | None = None
    n: int | None = None
    source: str | None = None
    runtime: str | None = None
    batch: int | None = None
    padding: str | None = None
    protocol: str | None = None
    conventions: str | None = None
    encoder: str | None = None
    source_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    """A row where it stands in the file; `scale` is what the row says of itself."""

    number: int
    row: ScoreRow
    scale: int | None


def read_scores(path: Path, *, scale: int | None = None, variant: str | None = None) -> list[ScoreRow]:
    """Return the rows of a file of scores: JSON lines or a JSON list by its first character, else CSV.

    Args:
        scale: of the rows that don't say theirs, 1 or 100.
        variant: of the rows that don't name theirs.

    Raises:
        ScoresError: it can't be read; a column or value is missing or out of bounds; a task, or a language or metric
            of it, is unknown; a row stands there twice; or it is not certain that all values are on 0..100.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
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
    return [line.row if line.scale != 1 else replace(line.row, value=100 * line.row.value) for line in lines]


def write_scores(path: Path, rows: Sequence[ScoreRow]) -> None:
    """Write a file of scores that `read_scores` reads: JSON lines where the name ends in .jsonl, else CSV.

    Every row says that it is on 0..100.

    Raises:
        StoreError: it can't be written.
    """
    table = [asdict(row) | {"scale": 100} for row in rows]
    columns = [name for name in table[0] if any(values[name] is not None for values in table)]
    text = io.StringIO(newline="")
    if path.suffix == ".jsonl":
        for values in table:
            kept = {name: values[name] for name in columns if values[name] is not None}
            text.write(json.dumps(kept, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_text(text.getvalue(), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"can't write {path}: {error.strerror}") from error


def scores_of(rows: Sequence[ScoreRow], *, variant: str, format: str, artifact_sha256: str) -> list[Score]:
    """Return the scores that belong to an artifact of a variant, in the order of the rows.

    A row with an artifact's hash belongs to that artifact alone, one with a format to artifacts in that format. Where
    several rows speak of one task, language and metric, the most specific one is taken. `Score.artifact_sha256` is
    None unless the row itself named this artifact.
    """
    chosen: dict[tuple[str, str, str], ScoreRow] = {}
    for row in rows:
        if row.variant != variant or row.format not in (None, format):
            continue
        if row.artifact_sha256 not in (None, artifact_sha256):
            continue
        key = (row.task, row.lang, row.metric)
        if key not in chosen or _specificity(row) > _specificity(chosen[key]):
            chosen[key] = row
    return [
        Score(
            task=row.task,
            lang=row.lang,
            metric=row.metric,
            value=row.value,
            n=row.n,
            artifact_sha256=row.artifact_sha256,
            source=row.source,
        )
        for row in chosen.values()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScore:
    """A task's mean over the languages that have all of its metrics; `of_artifact`: each is of the very file."""

    task: str
    value: float
    langs: tuple[str, ...]
    of_artifact: bool

    @property
    def complete(self) -> bool:
        """Whether every language of the task is in it."""
        return len(self.langs) == len(all_tasks()[self.task].langs)


def task_scores(scores: Sequence[Score]) -> dict[str, TaskScore]:
    """Return each task's score, in the benchmark's order: the mean over languages; QA has the mean of F1 and EM.

    A language of QA with only one of the two is left out: an F1-only mean lies points higher than the two's.
    """
    result = {}
    for task in all_tasks().values():
        mine = [score for score in scores if score.task == task.name]
        by_lang = {
            lang: {score.metric: score for score in mine if score.lang == lang}
            for lang in dict.fromkeys(score.lang for score in mine)
        }
        scored = {
            lang: {name: found[name] for name in task.metrics if name in found} for lang, found in by_lang.items()
        }
        whole = {lang: found for lang, found in scored.items() if len(found) == len(task.metrics)}
        if whole:
            values = [math.fsum(s.value for s in found.values()) / len(found) for found in whole.values()]
            result[task.name] = TaskScore(
                task=task.name,
                value=math.fsum(values) / len(values),
                langs=tuple(whole),
                of_artifact=all(s.artifact_sha256 is not None for found in whole.values() for s in found.values()),
            )
    return result


def _specificity(row: ScoreRow) -> tuple[bool, bool]:
    return (row.artifact_sha256 is not None, row.format is not None)


# --- reading ----------------------------------------------------------------------------------------------------


def _json_lines(path: Path, text: str, _: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ScoresError(f"{path}:{number}: not a line of JSON: {error}") from error
        if not isinstance(values, dict):
            raise ScoresError(f"{path}:{number}: not an object, but {line.strip()[:40]!r}")
        yield number, values


def _json_list(path: Path, text: str, _: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScoresError(f"{path}: not JSON: {error}") from error
    for number, values in enumerate(document, start=1):
        if not isinstance(values, dict):
            raise ScoresError(f"{path}: entry {number}: not an object, but {values!r:.40}")
        yield number, values


def _csv_lines(path: Path, text: str, defaults: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in REQUIRED if name not in header and name not in defaults]
        if missing:
            raise ScoresError(
                f"{path}:1: lacks the column {', '.join(missing)}; a file of scores has {', '.join(REQUIRED)}"
            )
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise ScoresError(f"{path}:{reader.line_num}: {len(cells)} cells under {len(header)} columns")
            yield (
                reader.line_num,
                {name: cell.strip() for name, cell in zip(header, cells, strict=True) if cell.strip()},
            )
    except csv.Error as error:
        raise ScoresError(f"{path}:{reader.line_num}: not valid CSV: {error}") from error


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
    scale = _whole(where, given, "scale")
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
        n=_whole(where, given, "n"),
        batch=_whole(where, given, "batch"),
        source_sha256=_sha256(where, _optional(_text, where, given, "source_sha256")),
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


def _whole(where: str, values: Mapping[str, Any], name: str) -> int | None:
    value = values.get(name)
    if value is None:
        return None
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) == 0:
        raise ScoresError(f"{where}: {name} must be a whole number above 0, got {value!r}")
    return int(text)


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
    """Refuse rows of several files that say the same twice.

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


# --- what no single row shows -----------------------------------------------------------------------------------


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
