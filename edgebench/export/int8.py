"""Dynamic int8: weights are stored as int8, activations are quantised while the model runs.

The graph uses the operators that ONNX Runtime's `quantize_dynamic` writes, which its sessions fuse. Three differences:

- An embedding has one scale per row instead of one per table.
- The input of a feed-forward layer's second matrix has one scale per token. After GELU, a few tokens are larger by
  orders of magnitude; with one common scale, all other tokens round to almost nothing. On real weights, this input
  causes most of the accuracy loss of dynamic int8. Its values use seven bits, because processors without VNNI add
  products in pairs of 16 bits and would saturate.
- Quantisation runs tensor by tensor while the file is written, so the float32 model is never in memory.

The weights of a head's last layers on one token (Gemm) stay float32: less than 1 % of the file and of the latency.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgebench.export.skeleton import static_shape

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

_LARGEST = 127  # symmetric: -128 is not used
_STEPS = 127  # levels of activations quantised per token: two products with int8 then fit into 16 bits
_SMALLEST_SCALE = 1e-30  # for a token that is all zeros
_BLOCK_ROWS = 8192


def quantise(
    graph: ir.Graph, weight: ir.Value, values: NDArray[np.float32], *, down_projection: str = "output.dense"
) -> bool:
    """Rewrite the nodes that use this weight so that they take it as int8. Return whether that was possible.

    Args:
        values: the weight's values. Only weights of shape (rows, columns) can be quantised.
        down_projection: name of the second matrix of a feed-forward layer, after the layer's number.
    """
    import numpy as np

    is_down_projection = re.search(rf"\.?layer\.\d+\.{re.escape(down_projection)}\.", str(weight.name)) is not None

    uses = {(node.op_type, index) for node, index in weight.uses()}
    if values.ndim != 2 or not uses <= {("MatMul", 1), ("Gather", 0), ("Transpose", 0)} or not uses:
        return False
    per_column = uses == {("MatMul", 1)}  # a matrix product takes one scale per column, a lookup one per row
    if not per_column and ("MatMul", 1) in uses:
        return False
    quantised, scales = quantise_symmetric(values, axis=0 if per_column else 1)
    stored = _initializer(graph, f"{weight.name}.int8", quantised)
    scale = _initializer(graph, f"{weight.name}.scale", scales[0] if per_column else scales)
    for node, _ in list(weight.uses()):
        if node.op_type == "MatMul" and is_down_projection:
            _quantise_matmul_by_token(graph, node, stored, scale, column_sums=quantised.sum(axis=0, dtype=np.int32))
        elif node.op_type == "MatMul":
            _quantise_matmul(graph, node, stored, scale, columns=scales.size)
        elif node.op_type == "Gather":
            _quantise_gather(graph, node, stored, scale)
        else:
            column_scale = _initializer(graph, f"{weight.name}.column_scale", scales[:, 0])
            _quantise_tied(graph, node, stored, column_scale, columns=scales.size)
    return True


def quantise_symmetric(values: NDArray[np.float32], *, axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 values and their scales, one for each slice along `axis` (the axis is kept, with length 1).

    Args:
        values: shape (rows, columns). A slice of zeros gets scale 1.
    """
    import numpy as np

    scales = np.maximum(values.max(axis=axis, keepdims=True), -values.min(axis=axis, keepdims=True))
    scales = (scales / np.float32(_LARGEST)).astype(np.float32)
    scales[scales == 0] = 1
    quantised = np.empty(values.shape, np.int8)
    spread = np.broadcast_to(scales, values.shape)
    for start in range(0, len(values), _BLOCK_ROWS):  # avoids a second float copy of a large embedding
        block = slice(start, start + _BLOCK_ROWS)
        quantised[block] = np.rint(values[block] / spread[block])
    return quantised, scales


def _quantise_matmul(graph: ir.Graph, node: ir.Node, stored: ir.Value, scale: ir.Value, *, columns: int) -> None:
    """x @ W -> Mul(Cast(MatMulInteger(quantised x, quantised W)), scale of x * scales of W), one scale per column."""
    import numpy as np
    import onnx_ir as ir

    name = f"{stored.name}.zero_point"  # of all products with this weight
    zeros = graph.initializers.get(name) or _initializer(graph, name, np.zeros(columns, np.int8))
    x, x_scale, x_zero = _quantised_input(graph, node)
    product = ir.node("MatMulInteger", [x, stored, x_zero, zeros])
    number = ir.node("Cast", product.outputs, attributes={"to": ir.DataType.FLOAT})
    factor = ir.node("Mul", [x_scale, scale])
    result = ir.node("Mul", [number.outputs[0], factor.outputs[0]])
    _replace(graph, node, [product, number, factor, result])


def _quantise_matmul_by_token(
    graph: ir.Graph, node: ir.Node, stored: ir.Value, scale: ir.Value, *, column_sums: NDArray[np.int32]
) -> None:
    """x @ W -> (quantised x @ quantised W - zero point of the token * sums of W's columns) * its scale * W's scales.

    The zero points are subtracted afterwards, because ONNX Runtime's MatMulInteger has only one for all tokens.
    """
    import numpy as np
    import onnx_ir as ir

    def constant(name: str, values: object) -> ir.Value:
        return _initializer(graph, f"{stored.name}.{name}", np.array(values))

    made: list[ir.Node] = []

    def add(op_type: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        made.append(ir.node(op_type, list(inputs), attributes=attributes))
        return made[-1].outputs[0]

    x = node.inputs[0]
    assert x is not None  # noqa: S101 - MatMul has two inputs
    nothing, last = constant("nothing", np.float32(0)), constant("last", np.array([-1], np.int64))
    low, high = (add(end, add(f"Reduce{end}", x, last, keepdims=1), nothing) for end in ("Min", "Max"))
    step = add("Div", add("Sub", high, low), constant("steps", np.float32(_STEPS)))
    step = add("Max", step, constant("smallest", np.float32(_SMALLEST_SCALE)))
    zero = add("Round", add("Div", add("Neg", low), step))
    rows = add("Reshape", x, constant("rows", np.array([-1, static_shape(stored)[0]], np.int64)))
    zeros = add("Cast", add("Reshape", zero, last), to=ir.DataType.UINT8)
    bytes_ = add("QuantizeLinear", rows, add("Reshape", step, last), zeros, axis=0)
    product = add("MatMulInteger", add("Reshape", bytes_, add("Shape", x)), stored)
    offset = add("Mul", add("Cast", zero, to=ir.DataType.INT32), constant("column_sums", column_sums))
    number = add("Cast", add("Sub", product, offset), to=ir.DataType.FLOAT)
    add("Mul", add("Mul", number, step), scale)
    _replace(graph, node, made)


def _quantise_tied(graph: ir.Graph, transpose: ir.Node, stored: ir.Value, scale: ir.Value, *, columns: int) -> None:
    """x @ Transpose(W), W also an embedding: its int8 rows are the columns of the product."""
    import onnx_ir as ir

    transposed = ir.node("Transpose", [stored], attributes={"perm": [1, 0]})
    transposed.outputs[0].name = f"{stored.name}.transposed"
    graph.insert_before(transpose, transposed)
    for node, _ in list(transpose.outputs[0].uses()):
        assert node.op_type == "MatMul"  # noqa: S101 - the decoder of a masked language model
        _quantise_matmul(graph, node, transposed.outputs[0], scale, columns=columns)
    graph.remove(transpose, safe=True)


def _quantised_input(graph: ir.Graph, node: ir.Node) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Return a node's first input as int8, its scale and its zero point. Nodes with the same input share them."""
    import onnx_ir as ir

    value = node.inputs[0]
    assert value is not None  # noqa: S101 - MatMul has two inputs
    made = next((user for user, _ in value.uses() if user.op_type == "DynamicQuantizeLinear"), None)
    if made is None:
        made = ir.node("DynamicQuantizeLinear", [value], num_outputs=3, name=f"{node.name}.quantise")
        for output, suffix in zip(made.outputs, ("int8", "scale", "zero_point"), strict=True):
            output.name = f"{value.name}.{suffix}"
        graph.insert_before(node, made)
    x, scale, zero = made.outputs
    return x, scale, zero


def _quantise_gather(graph: ir.Graph, node: ir.Node, stored: ir.Value, scale: ir.Value) -> None:
    """Gather(W, ids) -> Cast(Gather(quantised W, ids)) * Gather(scales, ids), one scale per row."""
    import onnx_ir as ir

    ids = node.inputs[1]
    rows = ir.node("Gather", [stored, ids], attributes={"axis": 0})
    factors = ir.node("Gather", [scale, ids], attributes={"axis": 0})
    number = ir.node("Cast", rows.outputs, attributes={"to": ir.DataType.FLOAT})
    result = ir.node("Mul", [number.outputs[0], factors.outputs[0]])
    _replace(graph, node, [rows, factors, number, result])


def _replace(graph: ir.Graph, node: ir.Node, nodes: list[ir.Node]) -> None:
    """Replace a node by several; the output of the last one replaces its output."""
    (old,), (new,) = node.outputs, nodes[-1].outputs
    for position, made in enumerate(nodes):
        made.name = f"{node.name}.{position}.{made.op_type}"
        made.outputs[0].name = f"{old.name}.{position}"
    new.shape, new.type = old.shape, old.type
    graph.insert_before(node, nodes)
    old.replace_all_uses_with(new)
    graph.remove(node, safe=True)


def _initializer(graph: ir.Graph, name: str, values: NDArray[np.generic]) -> ir.Value:
    import onnx_ir as ir

    tensor = ir.tensor(values, name=name)
    value = ir.Value(name=name, shape=ir.Shape(values.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value
