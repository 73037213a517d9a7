"""What the memory of a file that edgebench did not make depends on: as far as its graph and a config.json tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

from edgebench.export.families import known_size
from edgebench.prediction import ModelSizes

_MOST = 1 << 36  # numbers in a weight; more are of a damaged file
_HEAD_COLUMNS = 64  # of each head of attention in most encoders


def sizes_of_tensors(tensors: Iterable[tuple[Sequence[int], int]], config: Mapping[str, Any]) -> ModelSizes | None:
    """Return the sizes by the shapes and bytes of a file's weights; None: they are no encoder's.

    Args:
        tensors: shape and bytes of each.
        config: the entries of config.json, if there is one.
    """
    weights = [(tuple(shape), size) for shape, size in tensors if prod(shape) > 0]
    matrices = [(shape, size) for shape, size in weights if len(shape) == 2 and min(shape) > 1]
    if len(matrices) < 2:
        return None
    table, largest = max(matrices, key=lambda each: each[1])
    hidden = known_size(config, "hidden_size") or min(table)
    others = [shape for shape, _ in matrices if shape != table and hidden in shape]
    if not others:
        return None
    inner = known_size(config, "intermediate_size") or max(max(shape) for shape in others)
    if max(prod(shape) for shape, _ in weights) > _MOST or hidden > _MOST or inner > _MOST:
        return None
    return ModelSizes(
        largest_bytes=largest,
        parameters=sum(prod(shape) for shape, _ in weights),
        matrix_parameters=sum(prod(shape) for shape, _ in matrices if shape != table),
        hidden_size=hidden,
        intermediate_size=inner,
        heads=known_size(config, "num_attention_heads") or max(1, hidden // _HEAD_COLUMNS),
        by_distance=config.get("model_type") == "deberta-v2",
        is_estimate=True,
    )
