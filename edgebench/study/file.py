"""STUDY.toml: the variants of a study with their lineage, what is measured of them and where, and what is asked.

    devices = ["pi4"]                     # names of edgebench.toml, or local
    formats = ["onnx-int8"]               # left out: each device's default

    [study]
    name = "intermediate training"
    scores = "scores.csv"                 # beside the file, or an absolute path

    [[variant]]
    name = "english-1"
    model = "runs/english-1"
    lineage = {base = "xlm-roberta-base", kind = "english", intermediate = ["MNLI"], target = "xnli", seed = 1}

    [[workload]]
    lang = ["sw", "th"]                   # one workload for each

    [[task]]                              # answered and scored by the files that were timed
    name = "xnli"
    data = "download"                     # beside the file, or an absolute path
    lang = ["sw", "th"]                   # left out: all that are there

    [[contrast]]
    baseline = {kind = "english"}
    candidate = {kind = "multilingual"}

A task also takes labels, split, limit, seed, prefix and batch, as `edgebench evaluate` does, and devices: which of the
study's answer it, by itself the first.

Also: study.seed, margin, score_margin, level; alternate = true, as `edgebench profile --alternate` does; own_cost =
false or cold = false to leave these measurements out;
[plan] with runs, min_count, min_duration_s, max_duration_s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebench.artifact import Format, parse_format
from edgebench.device import Device, find_device, read_toml, refuse_unknown_keys
from edgebench.errors import ConfigError, EdgebenchError, UnknownName
from edgebench.stats.verdicts import LEVEL, MARGIN
from edgebench.variant import REFERENCE_PREFIX, Lineage, TrainingKind, Variant, intermediate_task_name
from edgebench.workload import RunPlan, Scenario, Workload
from edgebench.xtreme_r.tasks import find_task

SCORE_MARGIN = 1.0  # points


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyContrast:
    """A question: two groups of variants, each chosen by name or lineage."""

    name: str
    baseline: tuple[Variant, ...]
    candidate: tuple[Variant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyTask:
    """What is evaluated of each variant; see EvaluationRequest. devices: where; langs empty: all that are in `data`."""

    name: str
    data: Path
    devices: tuple[Device, ...]
    langs: tuple[str, ...] = ()
    labels: Path | None = None
    split: str = "test"
    limit: int | None = None
    seed: int = 0
    prefix: str = ""
    batch: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What a STUDY.toml asks for. `formats` empty: each device's own. A variant's source is its model."""

    path: Path
    name: str
    variants: tuple[Variant, ...]
    devices: tuple[Device, ...]
    formats: tuple[Format, ...]
    workloads: tuple[Workload, ...]
    tasks: tuple[StudyTask, ...]
    contrasts: tuple[StudyContrast, ...]
    plan: RunPlan
    seed: int | None
    scores: Path | None
    margin: float
    score_margin: float
    level: float
    own_cost: bool = True
    cold: bool = True
    alternate: bool = False


def read_study(path: Path) -> Study:
    """Return the study that a STUDY.toml describes.

    Raises:
        ConfigError: it is not TOML, or a key is unknown, missing, of another type or out of bounds.
        UnknownName: a device, format, language, kind or variant that nothing has.
    """
    values = read_toml(path)
    where = str(path)
    refuse_unknown_keys(values, _TOP, where=where)
    study = _table(values.get("study"), _STUDY, where=f"{where}: [study]")
    lists = {name: _list(values, study, name, where=where) for name in ("devices", "formats")}
    variants = tuple(
        _variant(table, folder=path.parent, where=f"{where}: [[variant]] {number}")
        for number, table in enumerate(_tables(values, "variant", where=where), start=1)
    )
    _refuse_twins(variants, where=where)
    scores = path.parent / study["scores"] if "scores" in study else None
    if scores is not None and not scores.is_file():
        raise ConfigError(f"{where}: [study]: scores: {scores} is not there")
    devices = tuple(_said(where, "devices", find_device, name) for name in lists["devices"] or ["local"])
    return Study(
        path=path,
        name=_required(study, "name", where=f"{where}: [study]"),
        variants=variants,
        devices=devices,
        formats=tuple(_said(where, "formats", parse_format, name) for name in lists["formats"]),
        workloads=_workloads(values, where=where) or (Workload(),),
        tasks=tuple(
            _task(table, devices, folder=path.parent, where=f"{where}: [[task]] {number}")
            for number, table in enumerate(_tables(values, "task", where=where), start=1)
        ),
        contrasts=tuple(
            _contrast(table, variants, where=f"{where}: [[contrast]] {number}")
            for number, table in enumerate(_tables(values, "contrast", where=where), start=1)
        ),
        plan=_said(where, "[plan]", lambda plan: RunPlan(**plan), _table(values.get("plan", {}), _PLAN, where=where)),
        seed=study.get("seed"),
        scores=scores,
        margin=_between(study, "margin", MARGIN, 0, 1, where=where),
        score_margin=_between(study, "score_margin", SCORE_MARGIN, 0, 100, where=where),
        level=_between(study, "level", LEVEL, 0.5, 1, where=where),
        own_cost=study.get("own_cost", True),
        cold=study.get("cold", True),
        alternate=study.get("alternate", False),
    )


_TEXT, _WHOLE, _NUMBER, _ANY = "text", "a whole number", "a number", ""
_TEXTS, _FLAG = "text or a list of texts", "true or false"
_TOP = ("study", "variant", "devices", "formats", "workload", "task", "plan", "contrast")
_STUDY = {
    "name": _TEXT,
    "seed": _WHOLE,
    "scores": _TEXT,
    "devices": _ANY,
    "formats": _ANY,
    "margin": _NUMBER,
    "score_margin": _NUMBER,
    "level": _NUMBER,
    "own_cost": _FLAG,
    "cold": _FLAG,
    "alternate": _FLAG,
}
_PLAN = {"runs": _WHOLE, "min_count": _WHOLE, "min_duration_s": _NUMBER, "max_duration_s": _NUMBER}
_VARIANT = {"name": _TEXT, "model": _TEXT, "lineage": _ANY}
_LINEAGE = {
    "base": _TEXT,
    "kind": _TEXT,
    "intermediate": _ANY,
    "languages": _TEXTS,
    "target": _TEXT,
    "seed": _WHOLE,
}
_INTERMEDIATE = {"name": _TEXT, "kind": _TEXT, "languages": _TEXTS}
_WORKLOAD = {
    "scenario": _TEXT,
    "seq_len": _WHOLE,
    "lang": _TEXTS,
    "batch": _WHOLE,
    "threads": _WHOLE,
    "choices": _WHOLE,
    "queries_per_s": _NUMBER,
}
_TASK = {
    "name": _TEXT,
    "data": _TEXT,
    "lang": _TEXTS,
    "labels": _TEXT,
    "split": _TEXT,
    "limit": _WHOLE,
    "seed": _WHOLE,
    "prefix": _TEXT,
    "batch": _WHOLE,
    "devices": _TEXTS,
}
_CONTRAST = {"name": _TEXT, "baseline": _ANY, "candidate": _ANY}
_TASKS = ("none", "single", "multi")
#: What a contrast chooses variants by: key -> what a variant has of it.
_CHOOSERS: Mapping[str, Callable[[Variant], Collection[Any]]] = {
    "name": lambda variant: {variant.name},
    "kind": lambda variant: {str(lineage_of(variant).kind or "mixed")},
    "base": lambda variant: {lineage_of(variant).base},
    "target": lambda variant: {lineage_of(variant).target},
    "seed": lambda variant: {lineage_of(variant).seed},
    "intermediate": lambda variant: {task.name for task in lineage_of(variant).intermediate},
    "tasks": lambda variant: {_TASKS[min(2, len(lineage_of(variant).intermediate))]},
}


def lineage_of(variant: Variant) -> Lineage:
    """Return a variant's lineage; one that nothing is known of where it has none."""
    return variant.lineage or Lineage()


def _variant(table: Any, *, folder: Path, where: str) -> Variant:
    values = _table(table, _VARIANT, where=where)
    name, model = (_required(values, key, where=where) for key in ("name", "model"))
    lineage = _lineage(values["lineage"], where=f"{where}: lineage") if "lineage" in values else None
    return Variant(name=name, source=_model(model, folder, where=where), lineage=lineage)


_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def _model(model: str, folder: Path, *, where: str) -> str:
    """Return a model as the other commands take it; paths stand relative to the study's file."""
    if model.startswith(REFERENCE_PREFIX):
        return model
    found = folder / model
    if found.exists():
        return str(found)
    if Path(model).suffix in (".onnx", ".tflite") or not _HUB_ID.fullmatch(model):
        raise ConfigError(f"{where}: model: {found} is not there")
    return model


def _lineage(table: Any, *, where: str) -> Lineage:
    values = _table(table, _LINEAGE, where=where)
    listed = values.get("intermediate", [])
    if not isinstance(listed, list):
        raise ConfigError(f"{where}: intermediate must be a list of tasks, got {listed!r}")
    shared = {key: values[key] for key in ("kind", "languages") if key in values}
    tasks = []
    for entry in listed:
        task = shared | _table({"name": entry} if isinstance(entry, str) else entry, _INTERMEDIATE, where=where)
        name = intermediate_task_name(_required(task, "name", where=f"{where}: intermediate"))
        if "kind" not in task:
            raise ConfigError(f"{where}: kind is not told of {name!r}; one of {', '.join(TrainingKind)}")
        tasks.append({"name": name, "kind": _kind(task["kind"], where), "languages": _listed(task.get("languages"))})
    if (kind := _kind(values.get("kind", "none"), where)) is not TrainingKind.NONE and not tasks:
        # Trained on text alone, or on a task that is not told: the kind is known all the same.
        tasks.append({"name": str(kind), "kind": kind, "languages": _listed(values.get("languages"))})
    elif tasks and any(task["kind"] is TrainingKind.NONE for task in tasks):
        raise ConfigError(f"{where}: kind 'none' has no intermediate tasks, got {tasks[0]['name']!r}")
    known: dict[str, Any] = {key: values[key] for key in ("base", "target", "seed") if key in values}
    return Lineage.from_json({**known, "intermediate": tasks})


def _kind(name: str, where: str) -> TrainingKind:
    if name not in list(TrainingKind):
        raise UnknownName("kind", name, TrainingKind, hint=where)
    return TrainingKind(name)


def _workloads(values: Mapping[str, Any], *, where: str) -> tuple[Workload, ...]:
    found = []
    for number, table in enumerate(_tables(values, "workload", where=where), start=1):
        here = f"{where}: [[workload]] {number}"
        settings = _table(table, _WORKLOAD, where=here)
        scenario = settings.pop("scenario", str(Scenario.SINGLE_STREAM))
        if scenario not in list(Scenario):
            raise UnknownName("scenario", scenario, Scenario, hint=here)
        langs = _listed(settings.pop("lang", None)) or [None]
        for lang in langs:
            given = {**settings, "lang": lang, "scenario": Scenario(scenario)}
            found.append(_said(here, "", lambda given: Workload(**given), given))
    return tuple(found)


def _task(table: Any, devices: Sequence[Device], *, folder: Path, where: str) -> StudyTask:
    values = _table(table, _TASK, where=where)
    task = _said(where, "", find_task, _required(values, "name", where=where))
    langs = tuple(_listed(values.pop("lang", None)))
    for lang in langs:
        if lang not in task.langs:
            raise UnknownName("language", lang, task.langs, hint=where)
    names = _listed(values.pop("devices", None)) or [devices[0].name]
    for name in names:
        if name not in [device.name for device in devices]:
            raise UnknownName("device", name, [device.name for device in devices], hint=where)
    for key in ("data", "labels"):
        if key in values:
            values[key] = folder / values[key]
            if not values[key].is_dir():
                raise ConfigError(f"{where}: {key}: {values[key]} is not a folder")
    _required(values, "data", where=where)
    chosen = tuple(device for device in devices if device.name in names)
    return StudyTask(**{**values, "name": task.name, "langs": langs, "devices": chosen})


def _contrast(table: Any, variants: Sequence[Variant], *, where: str) -> StudyContrast:
    values = _table(table, _CONTRAST, where=where)
    sides = {side: _chosen(_required(values, side, where=where), variants, where=f"{where}: {side}") for side in _SIDES}
    both = {each.name for each in sides["baseline"]} & {each.name for each in sides["candidate"]}
    if both:
        raise ConfigError(f"{where}: {sorted(both)[0]!r} is on both sides")
    told = " against ".join(_told(values[side]) for side in reversed(_SIDES))
    return StudyContrast(name=values.get("name", told), **sides)


_SIDES = ("baseline", "candidate")


def _told(chooser: Mapping[str, Any]) -> str:
    return " ".join(" ".join(map(str, _listed(value))) for value in chooser.values())


def _chosen(chooser: Any, variants: Sequence[Variant], *, where: str) -> tuple[Variant, ...]:
    wanted = _table(chooser, dict.fromkeys(_CHOOSERS, _ANY), where=where)
    if not wanted:
        raise ConfigError(f"{where}: choose variants by {', '.join(_CHOOSERS)}")
    if "kind" in wanted:
        for kind in _listed(wanted["kind"]):
            if kind not in (*TrainingKind, "mixed"):
                raise UnknownName("kind", str(kind), [*TrainingKind, "mixed"], hint=where)
    if "name" in wanted:
        for name in _listed(wanted["name"]):
            if name not in [variant.name for variant in variants]:
                raise UnknownName("variant", str(name), [variant.name for variant in variants], hint=where)
    if "intermediate" in wanted:
        wanted["intermediate"] = [intermediate_task_name(str(name)) for name in _listed(wanted["intermediate"])]
    found = tuple(
        variant
        for variant in variants
        if all(set(_listed(value)) & set(_CHOOSERS[key](variant)) for key, value in wanted.items())
    )
    if not found:
        has = {key: sorted({str(it) for each in variants for it in _CHOOSERS[key](each)}) for key in wanted}
        told = "; ".join(f"{key}: {', '.join(values) or 'nothing'}" for key, values in has.items())
        raise ConfigError(f"{where} chooses no variant; the variants have {told}")
    return found


def _refuse_twins(variants: Sequence[Variant], *, where: str) -> None:
    if not variants:
        raise ConfigError(f"{where}: no [[variant]] is there")
    named = {"name": [each.name for each in variants], "model": [each.source for each in variants]}
    for what, values in named.items():
        twins = [value for value in values if values.count(value) > 1]
        if twins:
            raise ConfigError(f"{where}: two variants have the {what} {twins[0]!r}")


# --- values -------------------------------------------------------------------------------------------------------


def _table(value: Any, known: Mapping[str, str], *, where: str) -> dict[str, Any]:
    """Return a table whose keys are known and whose values have their types."""
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is not there" if value is None else f"{where} is not a table, but {value!r}")
    refuse_unknown_keys(value, known, where=where)
    for key, entry in value.items():
        right = {
            _TEXT: isinstance(entry, str) and bool(entry.strip()),
            _WHOLE: type(entry) is int,
            _NUMBER: type(entry) in (int, float),
            _TEXTS: all(isinstance(part, str) for part in _listed(entry)),
            _FLAG: isinstance(entry, bool),
            _ANY: True,
        }[known[key]]
        if not right:
            raise ConfigError(f"{where}: {key} must be {known[key]}, got {entry!r}")
    return dict(value)


def _tables(values: Mapping[str, Any], name: str, *, where: str) -> list[Any]:
    found = values.get(name, [])
    if not isinstance(found, list):
        raise ConfigError(f"{where}: [[{name}]] tables expected, in two brackets")
    return found


def _list(values: Mapping[str, Any], study: Mapping[str, Any], name: str, *, where: str) -> list[str]:
    """Return a list that stands at the top or in [study]: below a table's head, a key of the top is the table's."""
    if name in values and name in study:
        raise ConfigError(f"{where}: {name} stands at the top and in [study]; keep one of them")
    found = values.get(name, study.get(name, []))
    if not isinstance(found, list) or not all(isinstance(entry, str) for entry in found):
        raise ConfigError(f"{where}: {name} must be a list of texts, got {found!r}")
    return list(dict.fromkeys(found))


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


def _required(values: Mapping[str, Any], key: str, *, where: str) -> Any:
    if key not in values:
        raise ConfigError(f"{where} lacks {key}")
    return values[key]


def _between(values: Mapping[str, Any], key: str, default: float, low: float, high: float, *, where: str) -> float:
    value = float(values.get(key, default))
    if not low < value < high:
        raise ConfigError(f"{where}: [study]: {key} must be between {low:g} and {high:g}, got {value:g}")
    return value


def _said(where: str, what: str, make: Callable[[Any], Any], value: Any) -> Any:
    """Return what `make` makes of a value; what is wrong with it is said with where it stands."""
    try:
        return make(value)
    except EdgebenchError as error:
        raise ConfigError(f"{where}: {what + ': ' if what else ''}{error}") from error
