"""The weights of an encoder and its head, by what exported files do with them: from sizes alone, without torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from edgebench.export.geometry import Geometry
from edgebench.export.heads import Head
from edgebench.export.sentence_modules import SentenceModules


class Use(StrEnum):
    """What a weight is for; formats treat each use in its own way."""

    WORDS = "words"  # the table of words, of which rows are taken
    LOOK_UP = "look-up"  # any other embedding
    TIED = "tied"  # an embedding that is the decoder of a masked language model, too
    PRODUCT = "product"  # a matrix that multiplies the states of all tokens
    DOWN = "down"  # the same, the second matrix of a feed-forward layer
    ONE_TOKEN = "one token"  # noqa: S105 - a matrix that multiplies one vector for each example
    TABLE = "table"  # a table that is computed with as it is, e.g. of relative positions
    VECTOR = "vector"  # biases and norms


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight: `rows` inputs (of an embedding: its entries) and `columns` outputs; `count` of them in the model."""

    use: Use
    rows: int
    columns: int
    count: int = 1

    @property
    def parameters(self) -> int:
        """Numbers in all of them together."""
        return self.rows * self.columns * self.count


def weights_of(geometry: Geometry, head: Head, sentence: SentenceModules | None = None) -> list[Weight]:
    """Return the weights that the graph of an encoder with this head has; what it does not use is not in a file.

    Args:
        sentence: the modules after the encoder.
    """
    found = [*_embeddings(geometry, head), *_layers(geometry), *_head(geometry, head)]
    for step in sentence.steps if sentence is not None else ():
        if step is not None:
            found += list(_linear(step.inputs, step.outputs, Use.ONE_TOKEN))[: 1 + step.bias]
    return found


def embedding_size(geometry: Geometry) -> int:
    """Return the columns of the table of words; some families project them to the hidden size."""
    return _further(geometry, "embedding_size", geometry.hidden_size) if _projects(geometry) else geometry.hidden_size


def _projects(geometry: Geometry) -> bool:
    return geometry.model_type in ("electra", "deberta-v2")


def _further(geometry: Geometry, name: str, default: int) -> int:
    """Return a size that only some families have; the default if config.json has none, or nonsense."""
    value = next((json.loads(text) for key, text in geometry.further if key == name), None)
    return value if type(value) is int else default


def _flag(geometry: Geometry, name: str, *, default: bool) -> bool:
    value = next((json.loads(text) for key, text in geometry.further if key == name), None)
    return default if value is None else bool(value)


def _linear(rows: int, columns: int, use: Use, count: int = 1) -> Iterator[Weight]:
    yield Weight(use, rows, columns, count)
    yield Weight(Use.VECTOR, 1, columns, count)


def _embeddings(geometry: Geometry, head: Head) -> Iterator[Weight]:
    width = embedding_size(geometry)
    yield Weight(Use.TIED if head.task == "masked-lm" else Use.WORDS, geometry.vocab_size, width)
    is_deberta = geometry.model_type == "deberta-v2"
    if not is_deberta or _flag(geometry, "position_biased_input", default=True):
        yield Weight(Use.LOOK_UP, geometry.max_position_embeddings, width)
    if geometry.type_vocab_size and geometry.model_type != "distilbert":
        yield Weight(Use.LOOK_UP, geometry.type_vocab_size, width)
    if geometry.model_type != "xlm-roberta-xl":
        yield Weight(Use.VECTOR, 1, width, 2)
    if width != geometry.hidden_size:
        projection = list(_linear(width, geometry.hidden_size, Use.PRODUCT))
        yield from projection[:1] if is_deberta else projection  # DeBERTa's has no bias


def _layers(geometry: Geometry) -> Iterator[Weight]:
    hidden, inner, layers = geometry.hidden_size, geometry.intermediate_size, geometry.num_hidden_layers
    yield from _linear(hidden, hidden, Use.PRODUCT, 4 * layers)
    yield from _linear(hidden, inner, Use.PRODUCT, layers)
    yield from _linear(inner, hidden, Use.DOWN, layers)
    yield Weight(Use.VECTOR, 1, hidden, 4 * layers)
    if geometry.model_type == "xlm-roberta-xl":
        yield Weight(Use.VECTOR, 1, hidden, 2)  # the norm after the last layer
    if geometry.model_type == "deberta-v2":
        yield from _by_distance(geometry)


def _by_distance(geometry: Geometry) -> Iterator[Weight]:
    """Yield what DeBERTa attends by distance with."""
    hidden, layers = geometry.hidden_size, geometry.num_hidden_layers
    if _flag(geometry, "relative_attention", default=False):
        buckets = _further(geometry, "position_buckets", -1)
        longest = _further(geometry, "max_relative_positions", -1)
        distances = buckets if buckets > 0 else longest if longest > 0 else geometry.max_position_embeddings
        yield Weight(Use.TABLE, 2 * distances, hidden)
        norms = next((json.loads(text) for key, text in geometry.further if key == "norm_rel_ebd"), None)
        if "layer_norm" in str(norms):
            yield Weight(Use.VECTOR, 1, hidden, 2)
        if not _flag(geometry, "share_att_key", default=False):
            kinds = str(next((json.loads(text) for key, text in geometry.further if key == "pos_att_type"), ""))
            if "c2p" in kinds:
                yield from _linear(hidden, hidden, Use.PRODUCT, layers)
            if "p2c" in kinds:
                yield from _linear(hidden, hidden, Use.PRODUCT, layers)
    if (width := _further(geometry, "conv_kernel_size", 0)) > 0:
        yield Weight(Use.TABLE, width * hidden, hidden)
        yield Weight(Use.VECTOR, 1, hidden, 3)


def _head(geometry: Geometry, head: Head) -> Iterator[Weight]:
    hidden, labels, task = geometry.hidden_size, geometry.num_labels, head.task
    if task == "masked-lm":
        width = embedding_size(geometry)
        yield from _linear(hidden, width, Use.PRODUCT)
        yield Weight(Use.VECTOR, 1, width, 2)
        yield Weight(Use.VECTOR, 1, geometry.vocab_size)
    elif task in ("sequence-classification", "multiple-choice"):
        yield from _linear(hidden, hidden, Use.ONE_TOKEN)
        yield from _linear(hidden, labels if task == "sequence-classification" else 1, Use.ONE_TOKEN)
    elif task in ("token-classification", "question-answering"):
        yield from _linear(hidden, labels, Use.PRODUCT)
