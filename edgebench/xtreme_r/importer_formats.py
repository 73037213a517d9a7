"""Formats of other tools' results: how each is recognised, and the figures that are in it.

A format is one function and one row in FORMATS. Each has a scale by convention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebench.errors import ScoresError, UnknownName
from edgebench.xtreme_r.caveats import PARTIAL, caveats_of
from edgebench.xtreme_r.tasks import Task, all_tasks, find_metric, find_task


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Facts about scores that their file doesn't contain.

    Attributes:
        task, lang: for a file that names none (Hugging Face's Trainer).
        scale: 1 or 100; overrides the format's convention.

    The others are those of ScoreRow.
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
class Figure:
    """One figure of a file; `scale`: 1 or 100, by the format's convention. `value` is whatever the file has.

    conventions, artifact_sha256, caveats: from the file, if it contains them.
    """

    task: Task
    lang: str
    metric: str
    value: Any
    scale: int
    n: int | None = None
    conventions: str | None = None
    artifact_sha256: str | None = None
    caveats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("lang", "conventions", "artifact_sha256"):
            if not isinstance(found := getattr(self, name), str) and (found is not None or name == "lang"):
                raise TypeError(f"{name} must be text")


_MOST_EXAMPLES = 10**12  # more than any test set has
Found = Iterator[Figure | str]  # a text names an entry that is left out


@dataclass(frozen=True, slots=True)
class Format:
    """A format of results: how to recognise a document, read its figures, and describe their origin."""

    knows: Callable[[Any], bool]
    figures: Callable[[Any, Path, Provenance], Found]
    protocol: str
    conventions: str


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


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 < value < _MOST_EXAMPLES else None


def _named_task(path: Path, provenance: Provenance) -> tuple[Task, str]:
    """Return the task and language that were named for a file that names none."""
    if provenance.task is None or provenance.lang is None:
        raise ScoresError(f"{path} doesn't say which task and language it is of; try: `task='xnli'` `lang='sw'`")
    task = find_task(provenance.task)
    if provenance.lang not in task.langs:
        raise UnknownName(f"language of {task.name}", provenance.lang, task.langs)
    return task, provenance.lang


def _evaluate_py(document: Any, _: Path, provenance: Provenance) -> Found:
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
                yield Figure(task, lang, known, value, 100) if lang in task.langs else f"{name}: no language {lang!r}"


def _edgebench(document: Any, _: Path, provenance: Provenance) -> Found:
    """`scores eval --json` and `evaluate --json`."""
    for score in document["scores"]:
        task, protocol, value, n = find_task(score["task"]), score["protocol"], score["value"], _count(score["n"])
        metric, caveats = find_metric(task, score["metric"]), tuple(map(str, score.get("caveats", ())))
        if type(value) in (int, float) and 0 <= value <= 100:
            split, limit = str(protocol.get("split", "test")), _count(protocol.get("limit"))
            caveats = caveats_of(task.name, score["lang"], metric, value, n, split=split, limit=limit, known=caveats)
        yield Figure(
            task,
            score["lang"],
            metric,
            value,
            100,
            n,
            protocol.get("convention"),
            score["artifact_sha256"],
            caveats,
        )


def _lm_eval(document: Any, _: Path, provenance: Provenance) -> Found:
    """{"results": {"xnli_sw": {"acc,none": value}}, "n-samples": {"xnli_sw": {"original": n, "effective": n}}}.

    A metric's key ends with the filter that the answers went through: `f1,strict-match`.
    """
    counts, config = document.get("n-samples") or {}, document.get("config") or {}
    for name, metrics in document["results"].items():
        task, lang = _task_and_lang(name)
        if task is None or lang is None or not isinstance(metrics, dict):
            yield f"{name}: no task of XTREME-R in one language"
            continue
        samples = counts.get(name) or {}
        caveats = _limited(_count(samples.get("effective")), _count(samples.get("original")), config.get("limit"))
        found: dict[str, dict[str, Any]] = {}
        for key, value in metrics.items():
            metric, _, filter = key.partition(",")
            if (known := _known_metric(task, metric)) is not None:
                found.setdefault(known, {})[filter or "none"] = value
        for metric, by_filter in found.items():
            filter = "none" if "none" in by_filter else next(iter(by_filter))
            if filter != "none" and len(by_filter) > 1:
                yield f"{name}: {metric} by several filters ({', '.join(by_filter)}): keep one of them in the file"
                continue
            conventions = f"answers through the filter {filter}" if filter != "none" else None
            n = _count(samples.get("effective"))
            yield Figure(task, lang, metric, by_filter[filter], 1, n, conventions, None, caveats)


def _limited(effective: int | None, original: int | None, limit: Any) -> tuple[str, ...]:
    """Return the caveat of a run that was limited to some examples; a limit below 1 is a share of them."""
    if effective is not None and original is not None and effective < original:
        return (f"{PARTIAL}: {effective} of {original} examples (limited when it was scored)",)
    if limit is None or effective is not None or type(limit) not in (int, float):
        return ()
    return (f"{PARTIAL}: a limit of {f'{100 * limit:g} % of the' if limit < 1 else f'{limit:g}'} examples",)


def _task_and_lang(name: str) -> tuple[Task | None, str | None]:
    """Return the task and the language of a name such as xnli_sw, paws_de or mlqa_ar_ar (context and question)."""
    first, *langs = name.split("_")
    task = _known_task(first)
    same = len(set(langs)) == 1
    return task, langs[0] if task is not None and same and langs[0] in task.langs else None


_MTEB_TASKS = {"Tatoeba": ("tatoeba", "accuracy")}


def _mteb(document: Any, _: Path, provenance: Provenance) -> Found:
    """{"task_name": "Tatoeba", "scores": {"test": [{"hf_subset": "swh-eng", "accuracy": value, ...}]}}.

    Before version 1.11: {"mteb_dataset_name": "Tatoeba", "test": {"swh-eng": {"accuracy": value}, ...}}.
    """
    name = document["task_name"] if "task_name" in document else document["mteb_dataset_name"]
    if name not in _MTEB_TASKS:
        yield f"{name}: MTEB scores it otherwise than XTREME-R, or XTREME-R doesn't have it"
        return
    task, metric = all_tasks()[_MTEB_TASKS[name][0]], _MTEB_TASKS[name][1]
    for subset, scores in _mteb_subsets(document):
        lang = _TATOEBA_CODES.get(subset.removesuffix("-eng")) if subset.endswith("-eng") else None
        if lang not in task.langs:
            yield f"{name}: {subset} is not in XTREME-R"
        else:
            yield Figure(task, lang, metric, scores.get(metric), 1)


def _mteb_subsets(document: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if "task_name" in document:
        yield from ((score["hf_subset"], score) for score in document["scores"]["test"])
        return
    subsets = {key: value for key, value in document["test"].items() if isinstance(value, dict)}
    if not subsets:
        raise TypeError("no subset such as 'swh-eng' in 'test'")
    yield from subsets.items()


_TRAINER_PREFIXES = ("predict_", "test_", "eval_")  # the best for a test set first


def _trainer(document: Any, path: Path, provenance: Provenance) -> Found:
    """{"eval_accuracy": value, "eval_samples": n} of one task in one language; QA's are on 0..100, others on 0..1."""
    task, lang = _named_task(path, provenance)
    found = {prefix: {} for prefix in _TRAINER_PREFIXES}  # type: dict[str, dict[str, Any]]
    for key, value in document.items():
        for prefix in _TRAINER_PREFIXES:
            if key.startswith(prefix) and (metric := _known_metric(task, key.removeprefix(prefix))) is not None:
                found[prefix][metric] = value
    prefix = next((prefix for prefix in _TRAINER_PREFIXES if found[prefix]), "")
    for metric, value in found.get(prefix, {}).items():
        yield Figure(task, lang, metric, value, _trainer_scale(task), _count(document.get(f"{prefix}samples")))


def _squad(document: Any, path: Path, provenance: Provenance) -> Found:
    """{"exact_match": value, "f1": value}, of SQuAD 1.1's evaluate.py, or {"exact", "f1", "total"} of 2.0's."""
    without = document.get("NoAns_total", 0)
    if without:
        raise ScoresError(
            f"{path}: results of SQuAD 2.0 in which {without} of {document.get('total')} questions have no answer; "
            f"XTREME-R's questions all have one, so its scores mean something else"
        )
    task, lang = _named_task(path, provenance)
    for metric, names in (("f1", ("f1",)), ("em", ("exact_match", "exact"))):
        name = next((name for name in names if name in document), None)
        if name is not None and metric in task.metrics:
            yield Figure(task, lang, metric, document[name], 100, _count(document.get("total")))


def _trainer_scale(task: Task) -> int:
    return 100 if task.group == "qa" else 1


_NLU_EVALS_NAMES = {
    "udpos_v27": "udpos",
    "wikiann-47": "panx",
    "tatoeba-xtreme-r": "tatoeba",
    "tatoeba_first_token": "tatoeba",
    "bucc18_first_token": "bucc2018",
}


def _nlu_evals(document: Any, path: Path, provenance: Provenance) -> Found:
    """{"all_metrics": {lang: {"predict_accuracy": value}}}; the task is the name of the file or of its folder.

    QA's are on 0..100, the others on 0..1. Languages are also called xquad.ar, mlqa.ar.ar and swh-eng.
    """
    name = provenance.task or (path.stem if path.stem != "all_results" else path.absolute().parent.name)
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
                n = _count(values.get(f"{prefix}_samples"))
                yield Figure(task, lang, known, value, _trainer_scale(task), n)


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


def _is_mteb(document: Any) -> bool:
    is_new = _has("task_name", "scores")(document) and isinstance(document["scores"], dict)
    return is_new or _has("mteb_dataset_name")(document)


def _is_evaluate_py(document: Any) -> bool:
    return isinstance(document, dict) and any(
        isinstance(value, dict) and any(key.startswith("avg_") for key in value) for value in document.values()
    )


def _is_trainer(document: Any) -> bool:
    return isinstance(document, dict) and any(key.startswith(_TRAINER_PREFIXES) for key in document)


def _is_squad(document: Any) -> bool:
    return _has("f1", "exact_match")(document) or _has("f1", "exact")(document)


#: name -> format; a document is of the first that knows it.
FORMATS: Mapping[str, Format] = {
    "edgebench": Format(_has("scores", "tasks", "overall"), _edgebench, "edgebench", "as evaluate.py"),
    "nlu-evals": Format(
        _has("all_metrics"),
        _nlu_evals,
        "nlu-evals",
        "its own task scores of QA are F1 alone",
    ),
    "lm-eval": Format(_has("results", "versions"), _lm_eval, "lm-evaluation-harness", "prompted, no head is trained"),
    "mteb": Format(_is_mteb, _mteb, "MTEB", "sentence vectors, no head is trained"),
    "evaluate.py": Format(_is_evaluate_py, _evaluate_py, "XTREME's evaluate.py", "of the seqeval it ran with"),
    "trainer": Format(_is_trainer, _trainer, "Hugging Face Trainer", "of the script's own metrics"),
    "squad": Format(_is_squad, _squad, "SQuAD's evaluate.py", "of the script's own normaliser"),
}
