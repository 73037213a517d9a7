"""Which variants of a study a contrast compares: two groups, each chosen by name or by lineage."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from edgebench.errors import ConfigError, UnknownName
from edgebench.serialisation import from_plain
from edgebench.variant import TrainingKind, Variant, intermediate_task_name, lineage_of

_KINDS = (*map(str, TrainingKind), "mixed")
_TASK_COUNTS = ("none", "single", "multi")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyContrast:
    """Two groups of variants to compare."""

    name: str
    baseline: tuple[Variant, ...]
    candidate: tuple[Variant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Selector:
    """What chooses variants: those that have one of the values of each key that is given."""

    name: str | tuple[str, ...] | None = None
    kind: str | tuple[str, ...] | None = None
    base: str | tuple[str, ...] | None = None
    target: str | tuple[str, ...] | None = None
    seed: int | tuple[int, ...] | None = None
    intermediate: str | tuple[str, ...] | None = None
    tasks: str | tuple[str, ...] | None = None  # of _TASK_COUNTS: how many intermediate tasks

    def values(self) -> dict[str, list[Any]]:
        """Return the accepted values of each key that is given."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            key: list(value) if isinstance(value, tuple) else [value]
            for key, value in found.items()
            if value is not None
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _ContrastTable:
    """The keys of a [[contrast]] table."""

    baseline: _Selector
    candidate: _Selector
    name: str | None = None


#: What a variant has of each key of a selector.
_TRAITS: Mapping[str, Callable[[Variant], Collection[Any]]] = {
    "name": lambda variant: {variant.name},
    "kind": lambda variant: {str(lineage_of(variant).kind or "mixed")},
    "base": lambda variant: {lineage_of(variant).base},
    "target": lambda variant: {lineage_of(variant).target},
    "seed": lambda variant: {lineage_of(variant).seed},
    "intermediate": lambda variant: {task.name for task in lineage_of(variant).intermediate},
    "tasks": lambda variant: {_TASK_COUNTS[min(2, len(lineage_of(variant).intermediate))]},
}


def read_contrast(table: Mapping[str, Any], variants: Sequence[Variant], *, where: str) -> StudyContrast:
    """Return the contrast that a [[contrast]] table describes.

    Raises:
        ConfigError: a key is unknown or of another type, a side chooses no variant, or a variant is on both sides.
        UnknownName: no variant or kind of training has a name that is chosen.
    """
    described = from_plain(_ContrastTable, table, where=where)
    baseline = _select(described.baseline, variants, where=f"{where}: baseline")
    candidate = _select(described.candidate, variants, where=f"{where}: candidate")
    both = {each.name for each in baseline} & {each.name for each in candidate}
    if both:
        raise ConfigError(f"{where}: {min(both)!r} is on both sides")
    name = described.name or f"{_label(table['candidate'])} against {_label(table['baseline'])}"
    return StudyContrast(name=name, baseline=baseline, candidate=candidate)


def _label(selector: Mapping[str, Any]) -> str:
    """Return the values of a selector in the order of the file."""
    return " ".join(str(entry) for value in selector.values() for entry in (value if _is_list(value) else [value]))


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _select(selector: _Selector, variants: Sequence[Variant], *, where: str) -> tuple[Variant, ...]:
    wanted = selector.values()
    if not wanted:
        raise ConfigError(f"{where}: choose variants by {', '.join(_TRAITS)}")
    _refuse_unknown("kind", wanted, _KINDS, where=where)
    _refuse_unknown("name", wanted, [variant.name for variant in variants], label="variant", where=where)
    if "intermediate" in wanted:
        wanted["intermediate"] = [intermediate_task_name(name) for name in wanted["intermediate"]]
    found = tuple(
        variant for variant in variants if all(set(wanted[key]) & set(_TRAITS[key](variant)) for key in wanted)
    )
    if not found:
        present = {key: sorted({str(it) for each in variants for it in _TRAITS[key](each)}) for key in wanted}
        known = "; ".join(f"{key}: {', '.join(values) or 'nothing'}" for key, values in present.items())
        raise ConfigError(f"{where} chooses no variant; the variants have {known}")
    return found


def _refuse_unknown(
    key: str, wanted: Mapping[str, Sequence[str]], known: Sequence[str], *, where: str, label: str | None = None
) -> None:
    for name in wanted.get(key, ()):
        if name not in known:
            raise UnknownName(label or key, name, known, hint=where)
