"""Variant: a fine-tuned checkpoint and how it was trained."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from edgebench.errors import StoreError
from edgebench.serialisation import from_plain, to_plain

#: Prefix of the built-in XLM-R geometries with seeded random weights.
REFERENCE_PREFIX = "reference:"


class TrainingKind(StrEnum):
    """In which languages an intermediate task was trained."""

    NONE = "none"
    ENGLISH = "english"
    TRANSLATED = "translated"
    MULTILINGUAL = "multilingual"
    MLM = "mlm"


#: The nine intermediate tasks of Phang et al. (2020), as they write them; names of others are kept as they are.
INTERMEDIATE_TASKS = (
    "ANLI+", "MNLI", "QQP", "SQuAD 1.1", "SQuAD 2.0", "HellaSwag", "CCG", "CosmosQA", "CommonsenseQA",
)  # fmt: skip


def intermediate_task_name(name: str) -> str:
    """Return the usual name of an intermediate task, whatever the spelling (`squad-1.1`, `cosmos_qa`)."""
    known = {_plain(task): task for task in INTERMEDIATE_TASKS}
    return known.get(_plain(name), name)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


@dataclass(frozen=True, slots=True, kw_only=True)
class IntermediateTask:
    """One task between pretraining and the target task."""

    name: str
    kind: TrainingKind
    languages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """The training history of a checkpoint; unknown values are None or empty."""

    base: str | None = None
    intermediate: tuple[IntermediateTask, ...] = ()
    target: str | None = None
    seed: int | None = None

    @property
    def kind(self) -> TrainingKind | None:
        """The kind that all intermediate tasks share: `none` without a task, None where kinds are mixed."""
        kinds = {task.kind for task in self.intermediate} or {TrainingKind.NONE}
        return kinds.pop() if len(kinds) == 1 else None

    @classmethod
    def from_json(cls, values: Any, *, where: str = "lineage") -> Lineage:
        """Return the lineage that plain values describe, as `lineage.json` next to a checkpoint holds it.

        Raises:
            ConfigError: a key or kind is unknown, or a value has another type.
        """
        return from_plain(cls, values, where=where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A checkpoint, an existing model file, or a built-in reference model.

    `source` is the model as the user named it: a folder, a hub id, a file, or `reference:NAME`.
    """

    name: str
    source: str
    lineage: Lineage | None = None
    parameters: int | None = None

    @property
    def is_reference(self) -> bool:
        """Whether the weights are random: real latency, meaningless outputs, no scores."""
        return self.source.startswith(REFERENCE_PREFIX)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as results and the store hold them."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def from_json(cls, values: Any) -> Variant:
        """Return the variant that `to_json` described.

        Raises:
            StoreError: the values are not valid.
        """
        return from_plain(cls, values, where="variant", error=StoreError, allow_unknown=True)


def lineage_of(variant: Variant) -> Lineage:
    """Return a variant's lineage; where it has none, one whose values are unknown."""
    return variant.lineage or Lineage()
