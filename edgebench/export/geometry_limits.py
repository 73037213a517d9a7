"""Sizes of a config.json that no encoder has, refused before anything is traced or allocated for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgebench.errors import CheckpointError
from edgebench.export.geometry import Geometry
from edgebench.reading import open_file, parse_json

#: Far above those of published encoders: XLM-R XXL has 48 layers of 4096 states and 250,000 pieces.
_MOST = {
    "vocab_size": 5_000_000,
    "hidden_size": 65_536,
    "num_hidden_layers": 512,
    "num_attention_heads": 4096,
    "intermediate_size": 1 << 20,
    "max_position_embeddings": 1 << 20,
    "type_vocab_size": 4096,
    "num_labels": 1_000_000,
}
_MOST_PARAMETERS = 20_000_000_000
_MOST_HEADER_BYTES = 32 << 20
_LAYER = re.compile(r"\blayers?\.(\d{1,9})\.")
_PIECES = re.compile(r"(?:^|\.)(embeddings\.(?:word_embeddings|tok_embeddings)\.weight)$")


def refuse_large_sizes(geometry: Geometry, *, where: str) -> None:
    """Refuse sizes beyond any encoder's.

    Raises:
        CheckpointError: it names the size, or how many parameters they make together.
    """
    for name, most in _MOST.items():
        value = getattr(geometry, name)
        if value > most:
            raise CheckpointError(f"{where}: {name} {value} in config.json is more than any encoder has ({most})")
    layer = 4 * geometry.hidden_size**2 + 2 * geometry.hidden_size * geometry.intermediate_size
    tables = geometry.vocab_size + geometry.max_position_embeddings + geometry.num_labels
    parameters = layer * geometry.num_hidden_layers + tables * geometry.hidden_size
    if parameters > _MOST_PARAMETERS:
        raise CheckpointError(
            f"{where}: the sizes in config.json make {parameters:.2g} parameters, more than the {_MOST_PARAMETERS:.2g} "
            f"that can be exported"
        )


def refuse_other_sizes(geometry: Geometry, weight_files: Sequence[Path], *, where: str) -> None:
    """Refuse layers and pieces that weights in safetensors do not have, by the headers of the files.

    Weights without a header that can be read here are compared when they are read.

    Raises:
        CheckpointError: it names what config.json says and what the files have.
    """
    layers = 0
    tables: list[tuple[str, list[Any]]] = []
    for path in weight_files:
        for name, shape in _header(path):
            if found := _LAYER.search(name):
                layers = max(layers, int(found[1]) + 1)
            if (pieces := _PIECES.search(name)) and shape:
                tables.append((pieces[1], shape))
    if tables and all(shape[0] != geometry.vocab_size for _, shape in tables):
        name, shape = tables[0]
        expected = [geometry.vocab_size, *shape[1:]]
        raise CheckpointError(f"{where}: {name} has shape {shape}, config.json says {expected}")
    if 0 < layers < geometry.num_hidden_layers:
        raise CheckpointError(
            f"{where}: config.json says {geometry.num_hidden_layers} layers, and the weights have {layers}"
        )


def _header(path: Path) -> Iterator[tuple[str, list[Any]]]:
    """Yield the names and shapes of the tensors in a file of safetensors; of another file, nothing."""
    if path.suffix != ".safetensors":
        return
    try:
        with open_file(path) as file:
            length = int.from_bytes(file.read(8), "little")
            values = parse_json(file.read(length)) if 0 < length <= _MOST_HEADER_BYTES else {}
    except (OSError, ValueError):
        return  # what reads the weights says what is wrong
    for name, tensor in values.items() if isinstance(values, dict) else ():
        shape = tensor.get("shape") if isinstance(tensor, dict) else None
        if isinstance(shape, list):
            yield name, shape
