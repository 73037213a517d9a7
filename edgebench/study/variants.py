"""The [[variant]] tables of a study: each model and how it was trained."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebench.errors import ConfigError
from edgebench.export import existing_file
from edgebench.reading import is_there
from edgebench.serialisation import from_plain, refuse_blank
from edgebench.variant import REFERENCE_PREFIX, IntermediateTask, Lineage, TrainingKind, Variant, intermediate_task_name


@dataclass(frozen=True, slots=True, kw_only=True)
class _IntermediateTable:
    """A task between pretraining and the target task; what it leaves out, the lineage says for all tasks."""

    name: str
    kind: TrainingKind | None = None
    languages: str | tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _LineageTable:
    """A lineage as it is written in a study."""

    base: str | None = None
    kind: TrainingKind | None = None
    intermediate: tuple[str | _IntermediateTable, ...] = ()
    languages: str | tuple[str, ...] = ()
    target: str | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _VariantTable:
    """The keys of a [[variant]] table."""

    name: str
    model: str
    lineage: _LineageTable | None = None


def read_variants(tables: Sequence[tuple[str, Mapping[str, Any]]], folder: Path, *, where: str) -> tuple[Variant, ...]:
    """Return the variants that [[variant]] tables describe.

    Args:
        tables: each with its place in words.
        folder: what paths of models are relative to.

    Raises:
        ConfigError: there is no table, a key is unknown, missing or of another type, a model is not there, or two
            variants have the same name or model.
    """
    variants = tuple(_variant(table, folder, where=at) for at, table in tables)
    _refuse_twins(variants, where=where)
    return variants


def _variant(table: Mapping[str, Any], folder: Path, *, where: str) -> Variant:
    described = from_plain(_VariantTable, table, where=where)
    refuse_blank(table, where=where)
    lineage = _lineage(described.lineage, where=f"{where}: lineage") if described.lineage is not None else None
    return Variant(name=described.name, source=_model(described.model, folder, where=where), lineage=lineage)


_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def _model(model: str, folder: Path, *, where: str) -> str:
    """Return a model as the other commands take it; paths are relative to the study's file."""
    if model.startswith(REFERENCE_PREFIX):
        return model
    found = folder / model
    if is_there(found):
        return str(existing_file(str(found)) or found)  # the file in a folder of exported files, as sessions name it
    if Path(model).suffix in (".onnx", ".tflite") or not _HUB_ID.fullmatch(model):
        raise ConfigError(f"{where}: model: {found} is not there")
    return model


def _lineage(table: _LineageTable, *, where: str) -> Lineage:
    tasks = []
    for entry in table.intermediate:
        task = entry if isinstance(entry, _IntermediateTable) else _IntermediateTable(name=entry)
        name, kind = intermediate_task_name(task.name), task.kind or table.kind
        if kind is None:
            raise ConfigError(f"{where}: {name!r} has no kind; one of {', '.join(TrainingKind)}")
        if kind is TrainingKind.NONE:
            raise ConfigError(f"{where}: kind 'none' has no intermediate tasks, got {name!r}")
        languages = table.languages if task.languages is None else task.languages
        tasks.append(IntermediateTask(name=name, kind=kind, languages=_texts(languages)))
    if table.kind not in (None, TrainingKind.NONE) and not tasks:
        # Trained on text alone, or on a task that is not named: the kind is known all the same.
        tasks.append(IntermediateTask(name=str(table.kind), kind=table.kind, languages=_texts(table.languages)))
    return Lineage(base=table.base, intermediate=tuple(tasks), target=table.target, seed=table.seed)


def _texts(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _refuse_twins(variants: Sequence[Variant], *, where: str) -> None:
    if not variants:
        raise ConfigError(f"{where}: no [[variant]] is there")
    named = {"name": [each.name for each in variants], "model": [each.source for each in variants]}
    for key, values in named.items():
        twins = [value for value in values if values.count(value) > 1]
        if twins:
            raise ConfigError(f"{where}: two variants have the {key} {twins[0]!r}")
