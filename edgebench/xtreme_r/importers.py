"""Scores as other tools write them, as rows: each format is one function, and one row in the table at the end.

A format's own convention says which scale its figures are on; a figure that can't be on it is an error, never a guess.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgebench.errors import ScoresError, UnknownName
from edgebench.xtreme_r.answer_files import read_text
from edgebench.xtreme_r.scores import ScoreRow, read_scores
from edgebench.xtreme_r.tasks import Task, all_tasks, find_metric, find_task


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a file of scores doesn't say of itself: whose they are, and how they came about.

    task, lang: of a file that names none (Hugging Face's Trainer). scale: 1 or 100, against the format's convention.
    The others: as in ScoreRow.
    """

    variant: str | None = None
    task: str | None = None
    lang: str | None = None
    scale: int | None = None
    format: str | None = None
    artifact_sha256: str | None = None
    runtime: str | None = None
    batch: int | None = None
    padding: str | None = None
    encoder: str | None = None


@dataclass(frozen=True, slots=True)
class ImportedScores:
    """Rows of a file, the format it is in, and what of it was left out because XTREME-R has no such score."""

    rows: list[ScoreRow]
    kind: str
    skipped: list[str]


@dataclass(frozen=True, slots=True)
class _Figure:
    """One figure as the file has it; `scale`: 1 or 100, as the format's convention is.

    conventions, artifact_sha256: what the file itself says of this figure.
    """

    task: Task
    lang: str
    metric: str
    value: Any
    scale: int
    n: int | None = None
    conventions: str | None = None
    artifact_sha256: str | None = None


_Found = Iterator[_Figure | str]  # a text names what is left out


@dataclass(frozen=True, slots=True)
class _Format:
    """A format of results: how to know a document, its figures, and what is noted of each."""

    knows: Callable[[Any], bool]
    figures: Callable[[Any, Path, Provenance], _Found]
    protocol: str
    conventions: str


def import_scores(path: Path, given: Provenance, *, kind: str | None = None) -> ImportedScores:
    """Return the scores in a file of another tool.

    Args:
        kind: the format, a key of FORMATS or "table"; None: it is recognised.

    Raises:
        ScoresError: it can't be read; it is in no known format; it lacks something that `given` must say; a figure is
            no number, or not on the scale of its format; or nothing in it is a score of XTREME-R.
        UnknownName: kind, or a task, language or metric in `given`.
    """
    if kind is not None and kind not in KINDS:
        raise UnknownName("format of scores", kind, KINDS)
    text = read_text(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    document = _document(path, text) if kind != TABLE else None
    if document is None:
        rows = read_scores(path, scale=given.scale, variant=given.variant)
        rows = [replace(row, source_sha256=row.source_sha256 or sha256) for row in rows]
        return ImportedScores([_filled(row, given, path) for row in rows], TABLE, [])
    kind = kind or _kind_of(path, document)
    if given.variant is None:
        raise ScoresError(f"{path} doesn't say whose scores they are; try: `variant=NAME`")
    found = _figures(path, FORMATS[kind], document, given)
    figures = [each for each in found if isinstance(each, _Figure)]
    skipped = [each for each in found if isinstance(each, str)]
    if not figures:
        raise ScoresError(f"{path}: no score of XTREME-R in it{f' (left out: {skipped[0]})' if skipped else ''}")
    _refuse_doubtful_scales(path, figures, given)
    rows = list(_rows(path, figures, FORMATS[kind], given))
    return ImportedScores([_filled(replace(row, source_sha256=sha256), given, path) for row in rows], kind, skipped)


def _filled(row: ScoreRow, given: Provenance, path: Path) -> ScoreRow:
    names = ("format", "artifact_sha256", "runtime", "batch", "padding", "encoder")
    said = {name: getattr(given, name) for name in names if getattr(row, name) is None}
    return replace(row, source=row.source or path.name, **said)


def _document(path: Path, text: str) -> Any:
    """Return the JSON document that the text is, or None where it is CSV or JSON lines."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        document = json.loads(text)
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


def _figures(path: Path, format: _Format, document: Any, given: Provenance) -> list[_Figure | str]:
    try:
        return list(format.figures(document, path, given))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ScoresError(f"{path}: not what {format.protocol} writes: {type(error).__name__}: {error}") from error


def _refuse_doubtful_scales(path: Path, figures: Sequence[_Figure], given: Provenance) -> None:
    """Refuse figures that should be on 0..100 where none of a task and metric is above 1 (and some are above 0)."""
    highest: dict[tuple[str, str], float] = {}
    for figure in figures:
        if figure.scale == 100 and isinstance(figure.value, int | float):
            key = (figure.task.name, figure.metric)
            highest[key] = max(highest.get(key, 0), figure.value)
    for (task, metric), value in highest.items():
        if given.scale is None and 0 < value <= 1:
            raise ScoresError(
                f"{path}: no {metric} of {task} is above 1, which may be a scale of 0..1 where 0..100 is expected; "
                f"say which it is: `scale=1` or `scale=100`"
            )


def _rows(path: Path, figures: Sequence[_Figure], format: _Format, given: Provenance) -> Iterator[ScoreRow]:
    assert given.variant is not None  # noqa: S101 - import_scores saw to it
    seen = set()
    for figure in figures:
        where = f"{path}: {figure.metric} of {figure.task.name} in {figure.lang}"
        if (figure.task.name, figure.lang, figure.metric) in seen:
            raise ScoresError(f"{where} is there twice; keep one of them")
        seen.add((figure.task.name, figure.lang, figure.metric))
        scale = given.scale or figure.scale
        value = figure.value
        if type(value) not in (int, float) or math.isnan(value):
            raise ScoresError(f"{where}: value must be a number, got {value!r}")
        if not 0 <= value <= scale:
            raise ScoresError(
                f"{where} is {value:g}, and {format.protocol} gives it on 0..{figure.scale}"
                f"{'' if given.scale is None else f' (`scale={given.scale}`)'}; "
                f"if all of the file is on another scale, say so: `scale={100 if scale == 1 else 1}`"
            )
        yield ScoreRow(
            variant=given.variant,
            task=figure.task.name,
            lang=figure.lang,
            metric=figure.metric,
            value=value * 100 / scale,
            n=figure.n,
            protocol=format.protocol,
            conventions=figure.conventions or format.conventions,
            artifact_sha256=figure.artifact_sha256,
        )


# --- the formats ------------------------------------------------------------------------------------------------


def _known_metric(task: Task, name: str) -> str | None:
    try:
        return find_metric(task, name)
    except UnknownName:
        return None


def _known_task(name: str) -> Task | None:
    try:
        return find_task(name)
    except UnknownName:
        return None


def _evaluate_py(document: Any, _: Path, given: Provenance) -> _Found:
    """{task: {metric: {lang: value}, "avg_...": value}}, and means of groups beside."""
    for name, metrics in document.items():
        task = _known_task(name)
        if task is None or not isinstance(metrics, dict):
            continue  # the mean of a group
        for metric, by_lang in metrics.items():
            known = _known_metric(task, metric)
            if known is None or not isinstance(by_lang, dict):
                continue  # a mean over languages
            for lang, value in by_lang.items():
                yield (
                    _Figure(task, lang, known, value, 100) if lang in task.langs else f"{name}: no language {lang!r}"
                )


def _edgebench(document: Any, _: Path, given: Provenance) -> _Found:
    """`scores eval --json` and `evaluate --json`."""
    for score in document["scores"]:
        task = find_task(score["task"])
        yield _Figure(
            task,
            score["lang"],
            find_metric(task, score["metric"]),
            score["value"],
            100,
            score["n"],
            score["protocol"].get("convention"),
            score["artifact_sha256"],
        )


def _lm_eval(document: Any, _: Path, given: Provenance) -> _Found:
    """{"results": {"xnli_sw": {"acc,none": value}}, "n-samples": {"xnli_sw": {"effective": n}}}."""
    counts = document.get("n-samples", {})
    for name, metrics in document["results"].items():
        task, lang = _task_and_lang(name)
        if task is None or lang is None:
            yield f"{name}: no task of XTREME-R in one language"
            continue
        n = counts.get(name, {}).get("effective")
        for key, value in metrics.items():
            metric, _, filter = key.partition(",")
            known = _known_metric(task, metric)
            if known is not None and filter in ("none", ""):
                yield _Figure(task, lang, known, value, 1, n)


def _task_and_lang(name: str) -> tuple[Task | None, str | None]:
    """Return the task and the language of a name such as xnli_sw, paws_de or mlqa_ar_ar (context and question)."""
    first, *langs = name.split("_")
    task = _known_task(first)
    same = len(set(langs)) == 1
    return task, langs[0] if task is not None and same and langs[0] in task.langs else None


_MTEB_TASKS = {"Tatoeba": ("tatoeba", "accuracy")}


def _mteb(document: Any, _: Path, given: Provenance) -> _Found:
    """{"task_name": "Tatoeba", "scores": {"test": [{"hf_subset": "swh-eng", "accuracy": value, ...}]}}."""
    name = document["task_name"]
    if name not in _MTEB_TASKS:
        yield f"{name}: MTEB scores it otherwise than XTREME-R, or XTREME-R doesn't have it"
        return
    task, metric = all_tasks()[_MTEB_TASKS[name][0]], _MTEB_TASKS[name][1]
    for score in document["scores"]["test"]:
        lang = _TATOEBA_CODES.get(score["hf_subset"].removesuffix("-eng"))
        yield (
            _Figure(task, lang, metric, score[metric], 1)
            if lang in task.langs
            else f"{name}: {score['hf_subset']} is not in XTREME-R"
        )


_TRAINER_PREFIXES = ("predict_", "test_", "eval_")  # the best for a test set first


def _trainer(document: Any, path: Path, given: Provenance) -> _Found:
    """{"eval_accuracy": value, "eval_samples": n} of one task in one language; QA's are on 0..100, others on 0..1."""
    if given.task is None or given.lang is None:
        raise ScoresError(f"{path} doesn't say which task and language it is of; try: `task='xnli'` `lang='sw'`")
    task = find_task(given.task)
    if given.lang not in task.langs:
        raise UnknownName(f"language of {task.name}", given.lang, task.langs)
    found = {prefix: {} for prefix in _TRAINER_PREFIXES}  # type: dict[str, dict[str, Any]]
    for key, value in document.items():
        for prefix in _TRAINER_PREFIXES:
            if key.startswith(prefix) and (metric := _known_metric(task, key.removeprefix(prefix))) is not None:
                found[prefix][metric] = value
    prefix = next((prefix for prefix in _TRAINER_PREFIXES if found[prefix]), "")
    for metric, value in found.get(prefix, {}).items():
        yield _Figure(task, given.lang, metric, value, _trainer_scale(task), document.get(f"{prefix}samples"))


def _trainer_scale(task: Task) -> int:
    return 100 if task.group == "qa" else 1


_NLU_EVALS_NAMES = {
    "udpos_v27": "udpos",
    "wikiann-47": "panx",
    "tatoeba-xtreme-r": "tatoeba",
    "tatoeba_first_token": "tatoeba",
    "bucc18_first_token": "bucc2018",
}


def _nlu_evals(document: Any, path: Path, given: Provenance) -> _Found:
    """{"all_metrics": {lang: {"predict_accuracy": value}}}; the task is the name of the file or of its folder.

    QA's are on 0..100, the others on 0..1. Languages are also called xquad.ar, mlqa.ar.ar and swh-eng.
    """
    name = given.task or (path.stem if path.stem != "all_results" else path.absolute().parent.name)
    task = _known_task(_NLU_EVALS_NAMES.get(name, name))
    if task is None:
        raise ScoresError(f"{path}: its name says no task of XTREME-R ({name!r}); try: `task='xnli'`")
    for key, values in document["all_metrics"].items():
        lang = _nlu_evals_lang(task, key)
        if lang is None:
            yield f"{name}: no language {key!r}"
            continue
        for metric_key, value in values.items():
            prefix, _, metric = metric_key.partition("_")
            known = _known_metric(task, metric if prefix in ("predict", "test") else metric_key)
            if known is not None:
                yield _Figure(task, lang, known, value, _trainer_scale(task), values.get(f"{prefix}_samples"))


def _nlu_evals_lang(task: Task, key: str) -> str | None:
    if key.endswith("-eng"):
        lang = _TATOEBA_CODES.get(key.removesuffix("-eng"))
    else:
        parts = key.split(".")
        lang = parts[-1] if len(parts) < 3 or parts[-1] == parts[-2] else None
    return lang if lang in task.langs else None


#: Tatoeba's languages as ISO 639-3, as XTREME's utils_preprocess.py names them.
_TATOEBA_CODES = {
    "afr": "af", "ara": "ar", "aze": "az", "ben": "bn", "bul": "bg", "cmn": "zh", "deu": "de", "ell": "el",
    "est": "et", "eus": "eu", "fin": "fi", "fra": "fr", "heb": "he", "hin": "hi", "hun": "hu", "ind": "id",
    "ita": "it", "jav": "jv", "jpn": "ja", "kat": "ka", "kaz": "kk", "kor": "ko", "lit": "lt", "mal": "ml",
    "mar": "mr", "nld": "nl", "pes": "fa", "pol": "pl", "por": "pt", "ron": "ro", "rus": "ru", "spa": "es",
    "swh": "sw", "tam": "ta", "tel": "te", "tgl": "tl", "tha": "th", "tur": "tr", "ukr": "uk", "urd": "ur",
    "vie": "vi",
}  # fmt: skip


def _has(*names: str) -> Callable[[Any], bool]:
    return lambda document: isinstance(document, dict) and all(name in document for name in names)


def _is_evaluate_py(document: Any) -> bool:
    return isinstance(document, dict) and any(
        isinstance(value, dict) and any(key.startswith("avg_") for key in value) for value in document.values()
    )


def _is_trainer(document: Any) -> bool:
    return isinstance(document, dict) and any(key.startswith(_TRAINER_PREFIXES) for key in document)


TABLE = "table"
#: name -> format; a document is of the first that knows it.
FORMATS: Mapping[str, _Format] = {
    "edgebench": _Format(_has("scores", "tasks", "overall"), _edgebench, "edgebench", "as evaluate.py"),
    "nlu-evals": _Format(
        _has("all_metrics"),
        _nlu_evals,
        "nlu-evals",
        "its own task scores of QA are F1 alone",
    ),
    "lm-eval": _Format(_has("results", "versions"), _lm_eval, "lm-evaluation-harness", "prompted, no head is trained"),
    "mteb": _Format(_has("task_name", "scores", "mteb_version"), _mteb, "MTEB", "sentence vectors, no head is trained"),
    "evaluate.py": _Format(_is_evaluate_py, _evaluate_py, "XTREME's evaluate.py", "of the seqeval it ran with"),
    "trainer": _Format(_is_trainer, _trainer, "Hugging Face Trainer", "of the script's own metrics"),
}
KINDS = (*FORMATS, TABLE)
