"""ONNX files: a skeleton filled with weights. Above protobuf's size limit, the weights are in a second file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.export.cpu_graph import find_attentions, keep_norms_apart
from edgebench.export.fp16 import halve, to_half
from edgebench.export.int4 import quantise_table
from edgebench.export.int8 import LOWEST, Quantiser, down_projections
from edgebench.export.memory import page_out
from edgebench.export.skeleton import INPUTS, TRANSPOSED, static_shape
from edgebench.export.weights import Weights

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

FLOAT32, INT8 = "float32", "int8"  # precisions of weights that a quantised file keeps
MODEL_NAME = "model.onnx"
DATA_NAME = "model.onnx.data"

#: Protobuf reads no message of 2 GiB or more. The margin is for the graph itself.
LARGEST_FILE_BYTES = 2**31 - (64 << 20)


def write_fp32(skeleton: ir.Model, weights: Weights, folder: Path) -> None:
    """Write the skeleton with float32 weights. They are read one at a time, while the file is written."""
    keep_norms_apart(skeleton.graph)
    for value in take_weights(skeleton.graph, weights):
        _store_floats(skeleton.graph, value, weights)
    save(skeleton, folder)


def write_fp16(skeleton: ir.Model, weights: Weights, folder: Path) -> None:
    """Write the skeleton in float16. Its weights are rounded one at a time, while the file is written."""
    import onnx_ir as ir

    model = halve(skeleton)
    for value in take_weights(model.graph, weights):
        read = partial(_read_half, weights, value)
        shape = ir.Shape(static_shape(value))
        value.const_value = ir.LazyTensor(read, dtype=ir.DataType.FLOAT16, shape=shape, name=value.name)
        model.graph.register_initializer(value)
    save(model, folder)


def write_int8(
    skeleton: ir.Model,
    weights: Weights,
    folder: Path,
    ranges: Mapping[str, NDArray[np.float32]] | None = None,
    kept: Mapping[str, str] | None = None,
) -> None:
    """Write the skeleton with int8 matrices and dynamically quantised activations.

    Args:
        ranges: by the name of a linear module, the largest magnitude that each of its inputs had. Shape (inputs,).
        kept: by the name of a weight in the graph, its precision, if it is another than the format's: float32.
    """
    geometry, graph = weights.checkpoint.geometry, skeleton.graph
    keep_norms_apart(graph, biases_of=down_projections(geometry.family.down_projection))
    quantiser = Quantiser(
        skeleton,
        ranges=ranges or {},
        down_projection=geometry.family.down_projection,
        lowest=LOWEST.get(geometry.hidden_act),
    )
    values = take_weights(graph, weights)
    as_floats = {name for name, precision in (kept or {}).items() if precision == FLOAT32}
    for attention in list(find_attentions(graph)):
        if as_floats.isdisjoint(str(weight.name) for weight in attention.weights):
            quantiser.fuse(attention, lambda value: _read_tensor(weights, value).numpy())
    for value in values:
        if not value.uses():
            continue  # part of an attention by now
        if value.name in as_floats:
            _store_floats(graph, value, weights)
            continue
        tensor = _read_tensor(weights, value)
        if not quantiser.quantise(value, tensor.numpy()):
            value.const_value = tensor
            graph.register_initializer(value)
        elif not str(value.name).endswith(TRANSPOSED):  # else it is a copy that nothing refers to from here on
            page_out(tensor.numpy())
    graph.sort()  # an input that several products share is quantised before the first of them
    save(skeleton, folder)


def write_int4(
    skeleton: ir.Model,
    weights: Weights,
    folder: Path,
    ranges: Mapping[str, NDArray[np.float32]] | None = None,
    kept: Mapping[str, str] | None = None,
) -> None:
    """Write the skeleton as `write_int8` does, with the table of words in four bits.

    Args:
        ranges: as for `write_int8`.
        kept: as for `write_int8`; the table of words may also be kept in int8.
    """
    graph = skeleton.graph
    for table in tables_of_words(graph, weights):
        weights.require([str(table.name).removesuffix(TRANSPOSED)])
        if table.name in (kept or {}):
            continue
        if quantise_table(graph, table, _read_tensor(weights, table).numpy()):
            graph.inputs.remove(table)
    write_int8(skeleton, weights, folder, ranges, kept)


def tables_of_words(graph: ir.Graph, weights: Weights) -> list[ir.Value]:
    """Return the weights of a skeleton that have a row for each piece of the vocabulary."""
    words = weights.checkpoint.geometry.vocab_size
    return [
        value
        for value in graph.inputs
        if value.name not in INPUTS and (static_shape(value)[:1] == (words,) or value.name in weights.cut)
    ]


def _store_floats(graph: ir.Graph, value: ir.Value, weights: Weights) -> None:
    """Store a weight as it is; it is read while the file is written."""
    import onnx_ir as ir

    read = partial(_read_tensor, weights, value)
    shape = ir.Shape(static_shape(value))
    value.const_value = ir.LazyTensor(read, dtype=ir.DataType.FLOAT, shape=shape, name=value.name)
    graph.register_initializer(value)


def take_weights(graph: ir.Graph, weights: Weights) -> list[ir.Value]:
    """Remove the weights from the graph's inputs and return them.

    Raises:
        CheckpointError: the checkpoint lacks one of them.
    """
    taken = [value for value in graph.inputs if value.name not in INPUTS]
    weights.require([str(value.name).removesuffix(TRANSPOSED) for value in taken])
    for value in taken:
        graph.inputs.remove(value)
    return taken


def _read_tensor(weights: Weights, value: ir.Value) -> ir.Tensor[Any]:
    """Return a weight, transposed if its name ends in TRANSPOSED."""
    import numpy as np
    import onnx_ir as ir

    name, shape = str(value.name), static_shape(value)
    if name.endswith(TRANSPOSED):
        values = np.ascontiguousarray(weights.read(name.removesuffix(TRANSPOSED), shape[::-1]).T)
    else:
        values = weights.read(name, shape)
    return ir.Tensor(values, name=name)


def _read_half(weights: Weights, value: ir.Value) -> ir.Tensor[Any]:
    import onnx_ir as ir

    where = f"{weights.checkpoint.source}: {value.name}"
    return ir.Tensor(to_half(_read_tensor(weights, value).numpy(), where=where), name=value.name)


def save(model: ir.Model, folder: Path, *, largest_file_bytes: int = LARGEST_FILE_BYTES) -> None:
    """Write model.onnx, with its tensors inside if it is small enough, else in model.onnx.data in the same folder."""
    import onnx_ir as ir

    tensors = [value.const_value for value in model.graph.initializers.values() if value.const_value is not None]
    if sum(tensor.nbytes for tensor in tensors) > largest_file_bytes:
        ir.save(model, folder / MODEL_NAME, external_data=DATA_NAME)
    else:
        _write_streaming(model, folder / MODEL_NAME)


def _write_streaming(model: ir.Model, path: Path) -> None:
    """Write a model to one file, tensor by tensor.

    Protobuf's serialiser holds the complete file in memory at least twice. A message is the sequence of its fields, so
    the graph's initializers can be written after the rest of the graph.
    """
    import numpy as np
    import onnx
    import onnx_ir as ir

    initializers = dict(model.graph.initializers)
    model.graph.initializers.clear()
    proto = ir.to_proto(model)
    graph = proto.graph.SerializeToString()
    proto.ClearField("graph")

    prefixes = []
    for name, value in initializers.items():
        tensor = value.const_value
        assert tensor is not None  # noqa: S101 - the writers set every value
        dims = static_shape(value)
        header = onnx.TensorProto(name=name, data_type=int(tensor.dtype), dims=dims).SerializeToString()
        header += _prefix(_RAW_DATA, tensor.nbytes)
        prefixes.append((_prefix(_INITIALIZER, len(header) + tensor.nbytes) + header, tensor))
    graph_bytes = len(graph) + sum(len(prefix) + tensor.nbytes for prefix, tensor in prefixes)
    with path.open("wb") as file:
        file.write(proto.SerializeToString() + _prefix(_GRAPH, graph_bytes) + graph)
        for prefix, tensor in prefixes:
            file.write(prefix)
            file.write(np.ascontiguousarray(tensor.numpy()).data)


#: Numbers of fields in onnx.proto: ModelProto.graph, GraphProto.initializer, TensorProto.raw_data.
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9


def _prefix(field: int, size: int) -> bytes:
    """Return the header of a length-delimited protobuf field: its tag and size as varints."""
    encoded = bytearray([field << 3 | 2])
    while size > 127:
        encoded.append(size & 127 | 128)
        size >>= 7
    return bytes([*encoded, size])
