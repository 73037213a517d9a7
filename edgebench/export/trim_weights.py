"""Trim weights: the program of the child process that writes a checkpoint's weights with some rows of its vocabulary.

The job (see child.py): `folder`, `task`, `rows` (the old ids in their new order) and `out`. The answer: the numbers of
`parameters` and `parameters_before`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.errors import CheckpointError
from edgebench.export.cache import writing
from edgebench.export.checkpoint import Checkpoint, open_checkpoint
from edgebench.export.child import serve
from edgebench.export.libraries import import_libraries
from edgebench.export.weight_files import reading
from edgebench.export.weights import canonical, open_weights

if TYPE_CHECKING:
    import torch

#: How safetensors calls the types that can be exported.
_TYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64"}


def write_weights(checkpoint: Checkpoint, rows: Sequence[int], out: Path) -> dict[str, int]:
    """Write model.safetensors, one tensor at a time; return the numbers of parameters before and after.

    What has a row for each piece (embeddings, the bias of a masked language model) is found by comparing the shapes of
    the class with those that it has with the smaller vocabulary. Tied parameters are written once.

    Raises:
        CheckpointError: a tensor can't be read or has another shape.
        ExportError: the file can't be written.
    """
    import torch

    weights = open_weights(checkpoint)
    before, after = _shapes(checkpoint, checkpoint.geometry.vocab_size), _shapes(checkpoint, len(rows))
    index = torch.tensor(rows, dtype=torch.int64)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    names, at = _stored_names(checkpoint, before), 0

    def read(name: str) -> torch.Tensor:
        with reading(Path(str(checkpoint.folder))):
            return weights.readers[canonical(name, checkpoint.geometry.family)]()

    for name in names:
        tensor = read(name)
        kind = _TYPES.get(str(tensor.dtype).removeprefix("torch."))
        if tuple(tensor.shape) != before[name] or kind is None:
            raise CheckpointError(
                f"{checkpoint.folder}: {name} is {tensor.dtype} of shape {list(tensor.shape)}, and config.json says"
                f" {list(before[name])}"
            )
        size = math.prod(after[name]) * tensor.element_size()
        header[name] = {"dtype": kind, "shape": list(after[name]), "data_offsets": [at, at + size]}
        at += size
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with writing(out), (out / "model.safetensors").open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for name in names:
            tensor = read(name)
            if after[name] != before[name]:
                tensor = tensor.index_select(0, index)
            file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return {"parameters": _total(after, names), "parameters_before": _total(before, names)}


def _shapes(checkpoint: Checkpoint, vocab_size: int) -> dict[str, tuple[int, ...]]:
    import torch
    import transformers

    architecture = getattr(transformers, checkpoint.head.architecture)
    pad = min(checkpoint.geometry.pad_token_id, vocab_size - 1)  # shapes do not depend on it
    geometry = replace(checkpoint.geometry, vocab_size=vocab_size, pad_token_id=pad)
    with torch.device("meta"):
        model = architecture(geometry.config(), **dict(checkpoint.head.arguments))
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def _stored_names(checkpoint: Checkpoint, names: Iterable[str]) -> list[str]:
    """Return one name for each parameter; of tied ones, that of the embeddings."""
    family = checkpoint.geometry.family
    chosen: dict[str, str] = {}
    for name in names:
        key = canonical(name, family)
        if key not in chosen or name.endswith(key):
            chosen[key] = name
    return list(chosen.values())


def _total(shapes: dict[str, tuple[int, ...]], names: Sequence[str]) -> int:
    return sum(math.prod(shapes[name]) for name in names)


def _trim(job: Mapping[str, Any]) -> dict[str, int]:
    import_libraries()
    checkpoint = open_checkpoint(Path(job["folder"]), source=job["folder"], task=job["task"])
    return write_weights(checkpoint, job["rows"], Path(job["out"]))


def main() -> None:
    """Write the weights that standard input names."""
    serve(_trim, failure=lambda job: f"{job['folder']}: its weights can't be trimmed")


if __name__ == "__main__":
    main()
