"""Importers: read scores that other tools wrote, in one of `importer_formats`, and check them.

A figure outside its format's scale is an error; the scale is never guessed. An entry without a number ("N/A", null) is
left out and named. NaN and infinity are refused: what made them is broken.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgebench.errors import ScoresError, UnknownName
from edgebench.reading import MOST_DATA_BYTES, parse_json, read_bytes
from edgebench.xtreme_r.answer_files import read_text
from edgebench.xtreme_r.importer_formats import FORMATS, Figure, Format, Provenance
from edgebench.xtreme_r.layouts import first_value, layout_of
from edgebench.xtreme_r.score_files import read_scores
from edgebench.xtreme_r.scores import ScoreRow

TABLE = "table"
KINDS = (*FORMATS, TABLE)
_NOT_FINITE = ("nan", "inf", "-inf", "+inf", "infinity", "-infinity")


@dataclass(frozen=True, slots=True)
class ImportedScores:
    """Rows of a file, its format, and the entries left out: no scores of XTREME-R, or without a number."""

    rows: list[ScoreRow]
    kind: str
    skipped: list[str]


def import_scores(path: Path, given: Provenance, *, kind: str | None = None) -> ImportedScores:
    """Return the scores in a file of another tool.

    Args:
        kind: the format, a key of FORMATS or "table"; None: detect it.

    Raises:
        ScoresError: it can't be read; it is in no known format; it needs something that `given` lacks; a figure is
            not finite, or not on the scale of its format; or it contains no score of XTREME-R.
        UnknownName: kind, or a task, language or metric in `given`.
    """
    if kind is not None and kind not in KINDS:
        raise UnknownName("format of scores", kind, KINDS)
    text = read_text(path, within=path.parent)
    sha256 = hashlib.sha256(read_bytes(path, most=MOST_DATA_BYTES, within=path.parent)).hexdigest()
    document = _document(path, text) if kind != TABLE else None
    _refuse_data(path, text, document, kind)
    if document is None:
        rows = read_scores(path, scale=given.scale, variant=given.variant)
        rows = [replace(row, source_sha256=row.source_sha256 or sha256) for row in rows]
        return ImportedScores([_filled(row, given, path) for row in rows], TABLE, [])
    kind = kind or _kind_of(path, document)
    if given.variant is None:
        raise ScoresError(f"{path} doesn't say whose scores they are; try: `variant=NAME`")
    found = [_checked(path, each) for each in _figures(path, FORMATS[kind], document, given)]
    figures = [each for each in found if isinstance(each, Figure)]
    skipped = [each for each in found if isinstance(each, str)]
    if not figures:
        raise ScoresError(f"{path}: no score of XTREME-R in it{f' (left out: {skipped[0]})' if skipped else ''}")
    _refuse_doubtful_scales(path, figures, given)
    rows = [row.with_caveats() for row in _rows(path, figures, FORMATS[kind], given)]
    return ImportedScores([_filled(replace(row, source_sha256=sha256), given, path) for row in rows], kind, skipped)


def _checked(path: Path, found: Figure | str) -> Figure | str:
    """Return the figure, or what to say of one without a number.

    Raises:
        ScoresError: it is not finite.
    """
    if isinstance(found, str):
        return found
    value, where = found.value, f"{found.metric} of {found.task.name} in {found.lang}"
    is_number = type(value) in (int, float)
    if (is_number and not math.isfinite(value)) or str(value).strip().lower() in _NOT_FINITE:
        raise ScoresError(f"{path}: {where}: value must be a number, got {value}; what made it is broken")
    return found if is_number else f"{where}: value must be a number, got {value!r:.40}"


def _filled(row: ScoreRow, provenance: Provenance, path: Path) -> ScoreRow:
    names = ("format", "artifact_sha256", "runtime", "batch", "padding", "encoder")
    known = {name: getattr(provenance, name) for name in names if getattr(row, name) is None}
    return replace(row, source=row.source or path.name, **known)


def _document(path: Path, text: str) -> Any:
    """Return the JSON document that the text is, or None where it is CSV or JSON lines."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        document = parse_json(text, not_finite=True)
    except ValueError as error:
        if "Extra data" in str(error):  # a further line of JSON
            return None
        raise ScoresError(f"{path}: not JSON: {error}") from error
    return None if isinstance(document, list) or (isinstance(document, dict) and "value" in document) else document


def _kind_of(path: Path, document: Any) -> str:
    for kind, format in FORMATS.items():
        if format.knows(document):
            return kind
    raise ScoresError(f"{path}: no format of scores that is known; try: `kind`, one of {', '.join(KINDS)}")


def _refuse_data(path: Path, text: str, document: Any, kind: str | None) -> None:
    """Refuse a task's data or answers, which are no scores."""
    first = first_value(text)
    if isinstance(first, dict) and {"variant", "task", "metric"} & first.keys():
        return  # rows of scores
    if kind is None and (layout := layout_of(document if document is not None else first)) is not None:
        raise ScoresError(
            f"{path}: {layout}, and no scores",
            hint="score answers with: edgebench scores eval --predictions DIR --labels DIR",
        )


def _figures(path: Path, format: Format, document: Any, provenance: Provenance) -> list[Figure | str]:
    try:
        return list(format.figures(document, path, provenance))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ScoresError(f"{path}: not what {format.protocol} writes: {type(error).__name__}: {error}") from error


def _refuse_doubtful_scales(path: Path, figures: Sequence[Figure], provenance: Provenance) -> None:
    """Refuse figures on 0..100 if all of a task and metric are at most 1 (and some are above 0)."""
    highest: dict[tuple[str, str], float] = {}
    for figure in figures:
        if figure.scale == 100 and isinstance(figure.value, int | float):
            key = (figure.task.name, figure.metric)
            highest[key] = max(highest.get(key, 0), figure.value)
    for (task, metric), value in highest.items():
        if provenance.scale is None and 0 < value <= 1:
            raise ScoresError(
                f"{path}: no {metric} of {task} is above 1, which may be a scale of 0..1 where 0..100 is expected; "
                f"say which it is: `scale=1` or `scale=100`"
            )


def _rows(path: Path, figures: Sequence[Figure], format: Format, provenance: Provenance) -> Iterator[ScoreRow]:
    assert provenance.variant is not None  # noqa: S101 - import_scores checks it
    seen = set()
    for figure in figures:
        where = f"{path}: {figure.metric} of {figure.task.name} in {figure.lang}"
        if (figure.task.name, figure.lang, figure.metric) in seen:
            raise ScoresError(f"{where} is there twice; keep one of them")
        seen.add((figure.task.name, figure.lang, figure.metric))
        scale = provenance.scale or figure.scale
        value = figure.value
        if not 0 <= value <= scale:
            raise ScoresError(
                f"{where} is {value:g}, and {format.protocol} gives it on 0..{figure.scale}"
                f"{'' if provenance.scale is None else f' (`scale={provenance.scale}`)'}; "
                f"if all of the file is on another scale, say so: `scale={100 if scale == 1 else 1}`"
            )
        yield ScoreRow(
            variant=provenance.variant,
            task=figure.task.name,
            lang=figure.lang,
            metric=figure.metric,
            value=value * 100 / scale,
            n=figure.n,
            protocol=format.protocol,
            conventions=figure.conventions or format.conventions,
            artifact_sha256=figure.artifact_sha256,
            caveats=figure.caveats,
        )
