"""STUDY.toml: the variants of a study with their lineage, what is measured of them and where, and what is compared.

    devices = ["pi4"]                     # names of edgebench.toml, or local
    formats = ["onnx-int8"]               # default: each device's own

    [study]
    name = "intermediate training"
    scores = "scores.csv"                 # relative to this file, or an absolute path

    [[variant]]
    name = "english-1"
    model = "runs/english-1"
    lineage = {base = "xlm-roberta-base", kind = "english", intermediate = ["MNLI"], target = "xnli", seed = 1}

    [[workload]]
    lang = ["sw", "th"]                   # one workload for each

    [[task]]                              # evaluated with the files that were timed
    name = "xnli"
    data = "download"                     # relative to this file, or an absolute path
    lang = ["sw", "th"]                   # default: all languages in `data`

    [[contrast]]
    baseline = {kind = "english"}
    candidate = {kind = "multilingual"}

The keys of [study] are those fields of Study that no table of their own describes: seed, margin, score_margin, level,
overhead = false and cold = false to leave these measurements out, alternate = true to alternate models in one process,
wait_idle_s = 600 to wait so long, at most, until nothing else keeps a board busy, journal = "disk" to keep the journals
of runs that go on out of a board's memory, accept_parity = true as
`export --accept-parity`.
[plan] takes runs, min_count, min_duration_s and max_duration_s. A [[task]] also takes labels, split, limit, seed,
prefix and batch, as `edgebench evaluate` does, and devices: those of the study that answer it (default: the first).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgebench.analysis import SCORE_MARGIN
from edgebench.artifact import Format, parse_format
from edgebench.device import Device, find_device, load_profile, profile_names, read_toml
from edgebench.errors import ConfigError, EdgebenchError, UnknownName, UsageError
from edgebench.reading import is_file, is_folder
from edgebench.request import JOURNALS
from edgebench.serialisation import field_names, former_names, formerly, from_plain, refuse_blank, refuse_unknown_keys
from edgebench.stats import LEVEL, MARGIN
from edgebench.study.contrasts import StudyContrast, read_contrast
from edgebench.study.variants import read_variants
from edgebench.variant import Variant
from edgebench.workload import RunPlan, Workload
from edgebench.xtreme_r import find_task


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyTask:
    """A task that the variants are evaluated on; see EvaluationRequest. `langs` empty: all that are in `data`."""

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
    """The variants, devices and workloads of a STUDY.toml, and what is compared.

    `formats` empty: each device's own. The source of a variant is its model. `margin`: latencies within it are
    equivalent; `score_margin`: the same of scores, in points.

    Raises:
        ConfigError: a margin or the level is out of bounds.
    """

    path: Path
    name: str
    variants: tuple[Variant, ...]
    devices: tuple[Device, ...]
    formats: tuple[Format, ...]
    workloads: tuple[Workload, ...]
    tasks: tuple[StudyTask, ...]
    contrasts: tuple[StudyContrast, ...]
    plan: RunPlan
    seed: int | None = None
    scores: Path | None = None
    margin: float = MARGIN
    score_margin: float = SCORE_MARGIN
    level: float = LEVEL
    overhead: bool = field(default=True, metadata=formerly("own_cost"))
    cold: bool = True
    alternate: bool = False
    wait_idle_s: float | None = None
    journal: str = "memory"
    accept_parity: bool = False

    def __post_init__(self) -> None:
        for name, low, high in (("margin", 0, 1), ("score_margin", 0, 100), ("level", 0.5, 1)):
            if not low < (value := getattr(self, name)) < high:  # not-a-number fails every comparison
                raise ConfigError(f"{name} must be between {low:g} and {high:g}, got {value:g}")
        if self.journal not in JOURNALS:
            raise UnknownName("journal", self.journal, JOURNALS)


def read_study(path: Path, *, any_device: bool = False) -> Study:
    """Return the study that a STUDY.toml describes.

    Args:
        any_device: also take devices that no settings file here names: benches may offer them. They have no address.

    Raises:
        ConfigError: the file is not TOML, or a key is unknown, missing, of another type or out of bounds.
        UnknownName: a device, format, language, kind or variant that nothing has.
    """
    where, folder, values = str(path), path.parent, read_toml(path, within=path.parent)
    for name in ("variant", "workload", "task", "contrast"):
        if isinstance(values.get(name), dict):
            raise ConfigError(f"{where}: [[{name}]] tables expected, in two brackets")
    tables = from_plain(_Tables, values, where=where)
    here = f"{where}: [study]"
    refuse_unknown_keys(tables.study, _STUDY_KEYS, former=former_names(Study), where=here)
    lists = {name: _top_list(tables, name, where=where) for name in ("devices", "formats")}
    variants = read_variants(_numbered("variant", tables.variant, where), folder, where=where)
    find = _named_device if any_device else find_device
    devices = tuple(_located(where, "devices", find, name) for name in lists["devices"] or ["local"])
    given = {
        "path": path,
        "variants": variants,
        "devices": devices,
        "formats": tuple(_located(where, "formats", parse_format, name) for name in lists["formats"]),
        "workloads": tuple(
            workload
            for at, table in _numbered("workload", tables.workload, where)
            for workload in _workloads(table, where=at)
        )
        or (Workload(),),
        "tasks": tuple(_task(table, devices, folder, where=at) for at, table in _numbered("task", tables.task, where)),
        "contrasts": tuple(
            read_contrast(table, variants, where=at) for at, table in _numbered("contrast", tables.contrast, where)
        ),
        "plan": from_plain(RunPlan, tables.plan, where=f"{where}: [plan]", without=("sustained_min",)),
    }
    return from_plain(Study, tables.study, where=here, given=given | _scores(tables.study, folder, where=here))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    """The top level of the file."""

    study: dict[str, Any]
    variant: tuple[dict[str, Any], ...] = ()
    devices: tuple[str, ...] | None = None
    formats: tuple[str, ...] | None = None
    workload: tuple[dict[str, Any], ...] = ()
    task: tuple[dict[str, Any], ...] = ()
    plan: dict[str, Any] = field(default_factory=dict)
    contrast: tuple[dict[str, Any], ...] = ()


#: Below the head of a table, a key that was meant for the top is the table's; so [study] takes the lists, too.
_STUDY_KEYS = field_names(Study, without=("path", "variants", "workloads", "tasks", "contrasts", "plan"))
_TASK_KEYS = ("lang", *field_names(StudyTask, without=("langs",)))
#: Texts are long, a study searches for no rate, and the session chooses the padding.
_NOT_IN_WORKLOADS = ("texts", "texts_lang", "latency_bound_ms", "padding")


def _named_device(name: str) -> Device:
    """Return the device of that name; one without an address if no settings file here names it."""
    try:
        return find_device(name)
    except UsageError:
        return Device(name=name, profile=load_profile(name if name in profile_names() else "generic-linux"))


def _numbered(name: str, tables: Sequence[Mapping[str, Any]], where: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return each table of a list with its place in words."""
    return [(f"{where}: [[{name}]] {number}", table) for number, table in enumerate(tables, start=1)]


def _scores(table: Mapping[str, Any], folder: Path, *, where: str) -> dict[str, Any]:
    refuse_blank(table, where=where)
    if not isinstance(table.get("scores"), str):
        return {}
    path = folder / table["scores"]
    if not is_file(path):
        raise ConfigError(f"{where}: scores: {path} is not there")
    return {"scores": path}


def _top_list(tables: _Tables, name: str, *, where: str) -> list[str]:
    top, inner = getattr(tables, name), tables.study.get(name)
    if top is not None and inner is not None:
        raise ConfigError(f"{where}: {name} stands at the top and in [study]; keep one of them")
    found = inner if top is None else top
    if found is not None and not (isinstance(found, list | tuple) and all(isinstance(entry, str) for entry in found)):
        raise ConfigError(f"{where}: {name} must be a list of texts, got {found!r}")
    return list(dict.fromkeys(found or ()))


def _workloads(table: Mapping[str, Any], *, where: str) -> list[Workload]:
    """Return one workload for each language."""
    langs = _listed(table.get("lang")) or [None]
    return [from_plain(Workload, table, where=where, without=_NOT_IN_WORKLOADS, given={"lang": lang}) for lang in langs]


def _task(table: Mapping[str, Any], devices: Sequence[Device], folder: Path, *, where: str) -> StudyTask:
    refuse_unknown_keys(table, _TASK_KEYS, where=where)
    refuse_blank(table, where=where)
    values = {key: value for key, value in table.items() if key != "lang"}
    known = {device.name: device for device in devices}
    names = _listed(values.get("devices")) or [devices[0].name]
    for name in names:
        if name not in known:
            raise UnknownName("device", str(name), known, hint=where)
    values |= {"devices": [known[name] for name in names], "langs": _listed(table.get("lang"))}
    for key in ("data", "labels"):
        if isinstance(values.get(key), str):
            values[key] = folder / values[key]
            if not is_folder(values[key]):
                raise ConfigError(f"{where}: {key}: {values[key]} is not a folder")
    described = from_plain(StudyTask, values, where=where)
    task = _located(where, "name", find_task, described.name)
    for lang in described.langs:
        if lang not in task.langs:
            raise UnknownName("language", lang, task.langs, hint=where)
    return replace(described, name=task.name)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _located(where: str, key: str, make: Any, value: Any) -> Any:
    """Return what `make` makes of a value; an error says where the value stands."""
    try:
        return make(value)
    except EdgebenchError as error:
        raise ConfigError(f"{where}: {key}: {error}") from error
