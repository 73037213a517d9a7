"""Adapter head: which head an adapter and its base have together, known before they are merged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgebench.export.checkpoint import open_checkpoint
from edgebench.export.heads import Head
from edgebench.export.sentence_modules import SENTENCE_EMBEDDING
from edgebench.export.weight_files import open_file, reading

#: The files with an adapter's tensors, in PEFT's order.
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
#: What PEFT puts before the names of the base's parameters.
PREFIX = "base_model.model."
#: Tasks by PEFT's task_type.
_TASKS = {
    "SEQ_CLS": "sequence-classification",
    "TOKEN_CLS": "token-classification",
    "QUESTION_ANS": "question-answering",
    "FEATURE_EXTRACTION": "encoder",
}


def adapter_shapes(adapter: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of an adapter's tensors, by their names in the base. Of safetensors, torch is not imported.

    Raises:
        CheckpointError: they can't be read.
    """
    path = next(adapter / name for name in ADAPTER_WEIGHTS if (adapter / name).is_file())
    with reading(path):
        shapes = _safetensors_shapes(path) if path.suffix == ".safetensors" else _bin_shapes(path)
    return {name.removeprefix(PREFIX): shape for name, shape in shapes.items()}


def _safetensors_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a dict


def _bin_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    return {name: tuple(read().shape) for name, read in open_file(path).readers.items()}


def merged_head(base: Path, shapes: Mapping[str, tuple[int, ...]], *, task: str | None, kind: Any) -> Head:
    """Return the head of the merged checkpoint.

    Args:
        base: the folder of the base's config.json.
        shapes: as `adapter_shapes` returns them.
        task: that the user named; it decides only where neither the adapter nor the base's config names a head.
        kind: task_type in the adapter's settings.

    Raises:
        CheckpointError: the base's head is not supported.
        UnknownName: there is no such task.
    """
    chosen = _TASKS.get(str(kind)) or (None if task == SENTENCE_EMBEDDING else task)
    checkpoint = open_checkpoint(base, source=str(base), task=chosen)
    family = checkpoint.geometry.family
    if any(name.startswith(f"{family.encoder}.") for name in shapes):
        return checkpoint.head
    return open_checkpoint(base, source=str(base), task="encoder").head
