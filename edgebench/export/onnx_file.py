"""ONNX files: a skeleton filled with weights, written in one piece or, above protobuf's bound, in two."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.export.fp16 import halve, to_half
from edgebench.export.int8 import quantise
from edgebench.export.skeleton import INPUTS, TRANSPOSED, static_shape
from edgebench.export.weights import Weights

if TYPE_CHECKING:
    import onnx_ir as ir

MODEL_NAME = "model.onnx"
DATA_NAME = "model.onnx.data"

#: Protobuf reads no message of 2 GiB or more; the graph itself needs some of it.
LARGEST_FILE_BYTES = 2**31 - (64 << 20)


def write_fp32(skeleton: ir.Model, weights: Weights, folder: Path) -> None:
    """Write the skeleton with its weights as they are; they are read one at a time, while being written."""
    import onnx_ir as ir

    for value in take_weights(skeleton.graph, weights):
        read = partial(_read_tensor, weights, value)
        shape = ir.Shape(static_shape(value))
        value.const_value = ir.LazyTensor(read, dtype=ir.DataType.FLOAT, shape=shape, name=value.name)
        skeleton.graph.register_initializer(value)
    save(skeleton, folder)


def write_fp16(skeleton: ir.Model, weights: Weights, folder: Path) -> None:
    """Write the skeleton in float16, its weights rounded while being written."""
    import onnx_ir as ir

    model = halve(skeleton)
    for value in take_weights(model.graph, weights):
        read = partial(_read_half, weights, value)
        shape = ir.Shape(static_shape(value))
        value.const_value = ir.LazyTensor(read, dtype=ir.DataType.FLOAT16, shape=shape, name=value.name)
        model.graph.register_initializer(value)
    save(model, folder)


def write_int8(skeleton: ir.Model, weights: Weights, folder: Path) -> None:
    """Write the skeleton with its matrices as int8 and its activations quantised as it runs."""
    for value in take_weights(skeleton.graph, weights):
        tensor = _read_tensor(weights, value)
        if not quantise(skeleton.graph, value, tensor.numpy()):
            value.const_value = tensor
            skeleton.graph.register_initializer(value)
    save(skeleton, folder)


def take_weights(graph: ir.Graph, weights: Weights) -> list[ir.Value]:
    """Return the graph's weights, no longer inputs of it.

    Raises:
        CheckpointError: the checkpoint lacks one of them.
    """
    taken = [value for value in graph.inputs if value.name not in INPUTS]
    weights.require([str(value.name).removesuffix(TRANSPOSED) for value in taken])
    for value in taken:
        graph.inputs.remove(value)
    return taken


def _read_tensor(weights: Weights, value: ir.Value) -> ir.Tensor[Any]:
    """Return a weight as the graph wants it, transposed where its name says so."""
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
    """Write model.onnx, with its tensors in it if that leaves it small enough, else beside it in model.onnx.data."""
    import onnx_ir as ir

    tensors = [value.const_value for value in model.graph.initializers.values() if value.const_value is not None]
    if sum(tensor.nbytes for tensor in tensors) > largest_file_bytes:
        ir.save(model, folder / MODEL_NAME, external_data=DATA_NAME)
    else:
        _write_streaming(model, folder / MODEL_NAME)


def _write_streaming(model: ir.Model, path: Path) -> None:
    """Write a model in one piece, tensor by tensor.

    Protobuf's own way holds all of the file in memory, twice or more. A message is the sequence of its fields, so the
    graph's initializers can be written behind the rest of it.
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
        assert tensor is not None  # noqa: S101 - all were given their content
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
    """Return what stands before a length-delimited field of protobuf: its tag and size as varints."""
    encoded = bytearray([field << 3 | 2])
    while size > 127:
        encoded.append(size & 127 | 128)
        size >>= 7
    return bytes([*encoded, size])
