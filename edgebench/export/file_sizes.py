"""Sizes of exported files, predicted from the weights and from what each format does with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgebench.artifact import Format, WeightScales
from edgebench.export.checkpoint import Checkpoint
from edgebench.export.int4 import block_size
from edgebench.export.recipes import RECIPES
from edgebench.export.weight_uses import Use, Weight, weights_of
from edgebench.prediction import ModelSizes

_FLOAT, _HALF = 4, 2
#: Bytes of an int8 weight's scale for each channel; in TFLite with 8 of a zero point.
_ONNX_SCALE, _TFLITE_SCALE = 4, 12
#: Factors that bring the channels of a layer's two normalisations to similar sizes, see export/int8.py.
_SMOOTHING = 2 * 4


@dataclass(frozen=True, slots=True)
class _Graph:
    """Bytes of a file that are no weights: names, nodes and constants, which depend on the number of layers alone."""

    fixed: int
    each_layer: int

    def bytes(self, layers: int) -> int:
        return self.fixed + self.each_layer * layers


#: Fitted to exports of every family (docs/evidence/predictions.md); DeBERTa has a graph of its own.
_ONNX_GRAPHS = {
    Format.ONNX_FP32: _Graph(5_500, 6_500),
    Format.ONNX_FP16: _Graph(6_000, 6_700),
    Format.ONNX_INT8: _Graph(6_500, 7_500),
    Format.ONNX_INT4: _Graph(8_700, 7_500),
}
_TFLITE_GRAPH = _Graph(20_000, 47_000)  # for each length
_DEBERTA_TIMES = 3


def predicted_bytes(checkpoint: Checkpoint, format: Format, *, buckets: Sequence[int] = ()) -> int:
    """Return the predicted size of a checkpoint's file in bytes, with the data beside it if it has some.

    Args:
        buckets: TFLite: the lengths that it has signatures for.
    """
    geometry = checkpoint.geometry
    weights = weights_of(geometry, checkpoint.head, checkpoint.sentence)
    stored = sum(weight_bytes(weight, format) for weight in weights)
    times = _DEBERTA_TIMES if geometry.model_type == "deberta-v2" else 1
    if format in (Format.ONNX_INT8, Format.ONNX_INT4):
        stored += geometry.num_hidden_layers * geometry.hidden_size * _SMOOTHING
    if format.runtime != "tflite":
        return stored + times * _ONNX_GRAPHS[format].bytes(geometry.num_hidden_layers)
    graphs = len(buckets) * times * _TFLITE_GRAPH.bytes(geometry.num_hidden_layers)
    has_types = geometry.type_vocab_size > 0 and geometry.separator is None
    rows = sum(buckets) * geometry.hidden_size * _FLOAT
    positions = _folded_positions(checkpoint, format, rows)
    return stored + graphs + (rows if has_types else 0) + positions


def _folded_positions(checkpoint: Checkpoint, format: Format, rows: int) -> int:
    """Return the bytes that a table of positions takes more where each length has its rows of it as floats."""
    geometry = checkpoint.geometry
    if geometry.family.positions_after_padding:
        return 0  # they are looked up
    table = next(
        (
            weight
            for weight in weights_of(geometry, checkpoint.head)[1:2]
            if weight.use is Use.LOOK_UP and weight.rows == geometry.max_position_embeddings
        ),
        None,
    )
    return rows * table.columns // geometry.hidden_size - weight_bytes(table, format) if table is not None else 0


def parameters_of(checkpoint: Checkpoint) -> int:
    """Return the number of parameters that a checkpoint's file has."""
    return sum(weight.parameters for weight in weights_of(checkpoint.geometry, checkpoint.head, checkpoint.sentence))


def model_sizes(checkpoint: Checkpoint, format: Format) -> ModelSizes:
    """Return what the memory of a checkpoint's file depends on, in a format."""
    geometry, head = checkpoint.geometry, checkpoint.head
    weights = weights_of(geometry, head, checkpoint.sentence)
    matrices = (Use.PRODUCT, Use.DOWN)
    return ModelSizes(
        largest_bytes=max(weight_bytes(weight, format) // weight.count for weight in weights),
        parameters=parameters_of(checkpoint),
        matrix_parameters=sum(weight.parameters for weight in weights if weight.use in matrices),
        hidden_size=geometry.hidden_size,
        intermediate_size=geometry.intermediate_size,
        heads=geometry.num_attention_heads,
        outputs=geometry.vocab_size if head.task == "masked-lm" else 0,
        by_distance=geometry.model_type == "deberta-v2",
    )


def weight_bytes(weight: Weight, format: Format) -> int:
    """Return what a format stores of a weight, in bytes, scales included."""
    if format.precision == "fp16":
        return _HALF * weight.parameters
    if format.precision == "fp32" or weight.use in (Use.VECTOR, Use.TABLE):
        return _FLOAT * weight.parameters
    if format.runtime == "tflite":
        return weight.parameters + _tflite_scales(weight, RECIPES[format].scales)
    if weight.use is Use.ONE_TOKEN:
        return _FLOAT * weight.parameters
    if format is Format.ONNX_INT4 and weight.use in (Use.WORDS, Use.TIED):
        block = block_size(weight.columns, is_tied=weight.use is Use.TIED)
        if block is not None:
            return weight.parameters // 2 + _HALF * weight.parameters // block
    return weight.parameters + weight.count * _onnx_scales(weight)


def _onnx_scales(weight: Weight) -> int:
    if weight.use in (Use.WORDS, Use.LOOK_UP):
        return weight.rows * _ONNX_SCALE
    if weight.use is Use.TIED:
        return weight.rows * 2 * _ONNX_SCALE
    return weight.columns * _ONNX_SCALE


def _tflite_scales(weight: Weight, scales: WeightScales | None) -> int:
    if scales is not WeightScales.CHANNEL:
        return _TFLITE_SCALE * weight.count
    is_table = weight.use in (Use.WORDS, Use.LOOK_UP, Use.TIED)
    return _TFLITE_SCALE * weight.count * (weight.rows if is_table else weight.columns)
