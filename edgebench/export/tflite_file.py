"""TFLite files: a checkpoint converted by litert-torch, optionally quantised to int8 by ai-edge-quantizer.

There is one signature per length bucket, e.g. `tokens_32` for inputs of up to 32 tokens. They share the weights.
Inputs are int32 `input_ids` and `attention_mask` [1, tokens] ([1, choices, tokens] for multiple choice).

Int8 weights have a scale for each channel, and embeddings one for each row. tflite-runtime 2.13 and 2.14 load such
files, but read only one scale a tensor: their outputs are wrong. For them there is a file with one scale per tensor
(docs/decisions/0044-int8-scales-by-runtime.md). Two more settings, which the libraries leave open, are right in both:

- Activations are quantised with a zero point (asymmetrically). New runtimes always do so, old ones only if the file
  requests it; without it, the cosine between the two is only 0.997.
- Constants are inside the flatbuffer, because tflite-runtime 2.13 does not look elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.artifact import WeightScales
from edgebench.errors import ConfigError, ExportError, MissingExtra
from edgebench.export.checkpoint import Checkpoint
from edgebench.export.sentence_graph import dense_readers, graph_module
from edgebench.export.traceable import traceable
from edgebench.export.weights import load_stock_model

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

MODEL_NAME = "model.tflite"

#: Lengths in tokens that a file has signatures for, up to the model's maximum.
DEFAULT_BUCKETS = (32, 64, 128, 256, 512)
#: Sequences per multiple-choice example, which the file fixes; as in XCOPA.
DEFAULT_CHOICES = 2

#: Flatbuffers are limited to 2 GiB; larger files have their constants outside the flatbuffer.
LARGEST_FLATBUFFER_BYTES = 2**31 - (64 << 20)
#: Added to a masked position's attention scores; its exponential is 0 in float32.
_MASKED = -1e4
_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16
_INPUTS = ("input_ids", "attention_mask")


def choose_buckets(requested: Sequence[int] | None, longest: int, *, where: str) -> tuple[int, ...]:
    """Return the lengths to make signatures for, ascending; by default DEFAULT_BUCKETS, up to `longest` tokens.

    Raises:
        ConfigError: a requested length is longer than the model allows, or below 1.
    """
    if requested is None:
        return default_buckets(longest)
    wrong = [bucket for bucket in requested if not 1 <= bucket <= longest]
    if wrong or not requested:
        got = ", ".join(map(str, wrong)) or "none"
        raise ConfigError(f"{where}: buckets must be 1..{longest} tokens, the model's positions; got {got}")
    return tuple(sorted(set(requested)))


def default_buckets(longest: int, *, reach: int = DEFAULT_BUCKETS[-1]) -> tuple[int, ...]:
    """Return DEFAULT_BUCKETS below `longest` tokens, and the smaller of `longest` and `reach`."""
    return tuple(sorted({*(bucket for bucket in DEFAULT_BUCKETS if bucket < longest), min(longest, reach)}))


def convert(checkpoint: Checkpoint, buckets: Sequence[int], choices: int | None, path: Path) -> int:
    """Write the checkpoint as float32 .tflite and return its number of parameters.

    Raises:
        CheckpointError: transformers can't load it.
        MissingExtra: litert-torch is not installed.
    """
    try:
        import litert_torch
    except ImportError as error:
        raise MissingExtra(error.name or "litert_torch", "tflite", "making a .tflite file") from error
    import torch

    model: Any = load_stock_model(checkpoint)
    model.set_attn_implementation("eager")  # avoids a boolean mask, which old runtimes can't index
    module = traceable(
        model,
        checkpoint.geometry,
        checkpoint.head,
        masked=_MASKED,
        fixed_length=True,
        sentence=_sentence_module(checkpoint),
    )
    signatures: Any = litert_torch
    for bucket in buckets:
        shape = (1, bucket) if choices is None else (1, choices, bucket)
        # Two tensors, because the tracer would take the same tensor twice as one input.
        example = {name: torch.ones(shape, dtype=torch.int32) for name in _INPUTS}
        signatures = signatures.signature(f"tokens_{bucket}", module, sample_kwargs=example)
    signatures.convert().export(str(path))
    return sum(parameter.numel() for parameter in module.parameters())


def quantise(source: Path, path: Path, scales: WeightScales) -> None:
    """Write a float32 .tflite with its matrices and embeddings as int8 (dynamic range).

    Args:
        scales: what has a scale of its own.

    Raises:
        MissingExtra: ai-edge-quantizer is not installed.
    """
    try:
        from ai_edge_quantizer import qtyping, quantizer
    except ImportError as error:
        raise MissingExtra(error.name or "ai_edge_quantizer", "tflite", "quantising a .tflite file") from error

    of_each = {
        WeightScales.CHANNEL: qtyping.QuantGranularity.CHANNELWISE,
        WeightScales.TENSOR: qtyping.QuantGranularity.TENSORWISE,
    }
    config = qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=8, symmetric=True, granularity=of_each[scales]),
        compute_precision=qtyping.ComputePrecision.INTEGER,
        explicit_dequantize=False,
    )
    work = quantizer.Quantizer(str(source))
    for operation in (qtyping.TFLOperationName.FULLY_CONNECTED, qtyping.TFLOperationName.EMBEDDING_LOOKUP):
        work.update_quantization_recipe(regex=".*", operation_name=operation, op_config=config)
    temporary = path.with_suffix(".quantised")
    try:
        work.quantize(serialize_to_path=str(temporary))
        del work
        _finish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _sentence_module(checkpoint: Checkpoint) -> torch.nn.Module | None:
    """Return the modules of sentence-transformers with their weights, or None."""
    if checkpoint.sentence is None:
        return None
    module = graph_module(checkpoint.sentence)
    readers = dense_readers(checkpoint.sentence)
    module.load_state_dict({name.removeprefix("sentence."): read().float() for name, read in readers.items()})
    return module


def _finish(source: Path, path: Path) -> None:
    """Write a quantised model with the settings that old runtimes need (see the module's docstring).

    Every bucket's graph names the scales of every weight; they are written once and shared, as the weights are.
    """
    import flatbuffers
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    raw = np.memmap(source, np.uint8, mode="r")
    if len(raw) > LARGEST_FLATBUFFER_BYTES:
        raise ExportError(f"the model takes {len(raw) / 1e9:.1f} GB as int8; a .tflite for every runtime ends at 2 GiB")
    model: Any = schema.ModelT.InitFromPackedBuf(bytes(raw))
    shared: dict[tuple[object, ...], _Scales] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.quantization is not None and tensor.quantization.details is None:
                scales = _Scales(tensor.quantization)
                tensor.quantization = shared.setdefault(scales.content, scales)
        for operator in graph.operators:
            if model.operatorCodes[operator.opcodeIndex].builtinCode != schema.BuiltinOperator.FULLY_CONNECTED:
                continue
            if graph.tensors[operator.inputs[1]].type == schema.TensorType.INT8:
                operator.builtinOptions.asymmetricQuantizeInputs = True
    for position, buffer in enumerate(model.buffers):
        outside = buffer.offset > 1
        content = raw[buffer.offset : buffer.offset + buffer.size] if outside else buffer.data
        model.buffers[position] = _Constant(content if content is not None and len(content) else None)
    builder = flatbuffers.Builder(len(raw) + len(raw) // 16)
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    with path.open("wb") as file:
        file.write(memoryview(builder.Bytes)[builder.Head() :])


class _Scales:
    """The quantisation of tensors, which is written where the first of them is."""

    def __init__(self, quantisation: Any) -> None:
        fields = {name: getattr(quantisation, name) for name in ("scale", "zeroPoint", "min", "max")}
        arrays = (None if values is None else values.tobytes() for values in fields.values())
        self.content = (*arrays, quantisation.quantizedDimension)
        self._quantisation = quantisation
        self._written: int | None = None

    def Pack(self, builder: Any) -> int:  # noqa: N802 - the name that the generated schema calls
        """Append the quantisation to the builder, unless it is there; return its offset."""
        if self._written is None:
            self._written = int(self._quantisation.Pack(builder))
        return self._written


class _Constant:
    """A constant aligned to 16 bytes, as the schema requires; flatbuffers' Python code does not align it."""

    def __init__(self, content: NDArray[np.uint8] | None) -> None:
        self.content = content

    def Pack(self, builder: Any) -> int:  # noqa: N802 - the name that the generated schema calls
        """Append the constant to the builder and return its offset."""
        from ai_edge_litert import schema_py_generated as schema

        packed = None
        if self.content is not None:
            size = len(self.content)
            builder.StartVector(1, size, _ALIGNMENT)
            builder.head -= size
            builder.Bytes[builder.head : builder.head + size] = self.content.tobytes()
            packed = builder.EndVector()
        schema.BufferStart(builder)
        if packed is not None:
            schema.BufferAddData(builder, packed)
        return int(schema.BufferEnd(builder))
