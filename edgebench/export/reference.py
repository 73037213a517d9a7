"""Reference models: XLM-R geometries with seeded random weights. Their latency is realistic; they have no scores."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

from edgebench.errors import UnknownName
from edgebench.export.cache import cache_folder
from edgebench.export.geometry import Geometry
from edgebench.export.memory import LARGE_BYTES, array_in_a_file, row_blocks
from edgebench.variant import REFERENCE_PREFIX

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Part of every reference artifact's key. Raise it when the weights change.
SEED = 1

#: XLM-R base as published, with three labels (as for XNLI).
_BASE = Geometry(vocab_size=250002, max_position_embeddings=514, type_vocab_size=1, num_labels=3, layer_norm_eps=1e-5)

REFERENCES = {
    "tiny": replace(
        _BASE, vocab_size=1000, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128
    ),
    "minilm": replace(_BASE, hidden_size=384, intermediate_size=1536),
    "base": _BASE,
    "large": replace(_BASE, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096),
}


def find_reference(source: str) -> Geometry:
    """Return the geometry behind `reference:NAME`.

    Raises:
        UnknownName: there is no reference model of that name.
    """
    name = source.removeprefix(REFERENCE_PREFIX)
    if name not in REFERENCES:
        raise UnknownName("reference model", name, REFERENCES)
    return REFERENCES[name]


def random_tensor(name: str, shape: tuple[int, ...], geometry: Geometry) -> NDArray[np.float32]:
    """Return the initial weights of an XLM-R tensor: normal(0, 0.02); norms are 1, biases and padding rows 0.

    Each tensor has a random stream derived from its name, so its values don't depend on which tensors are made before.
    Large ones are in a file, as those of a checkpoint are, so that not all of a large model need be in memory.
    """
    import numpy as np

    if name.endswith("LayerNorm.weight"):
        return np.ones(shape, np.float32)
    if name.endswith(".bias"):
        return np.zeros(shape, np.float32)
    stream = np.random.Generator(np.random.PCG64([SEED, zlib.crc32(name.encode())]))
    values = _in_a_file(shape) if math.prod(shape) * 4 >= LARGE_BYTES else np.empty(shape, np.float32)
    for block in row_blocks(values):
        stream.standard_normal(dtype=np.float32, out=block)
        block *= np.float32(0.02)
    if name.endswith(("word_embeddings.weight", "position_embeddings.weight")):
        values[geometry.pad_token_id] = 0
    return values


def _in_a_file(shape: tuple[int, ...]) -> NDArray[np.float32]:
    import numpy as np

    folder = cache_folder()
    try:
        return array_in_a_file(shape, folder if folder.is_dir() else None)
    except OSError:  # no room: memory has to do
        return np.empty(shape, np.float32)
