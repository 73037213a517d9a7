"""Dynamic int8: weights as int8 in the file, activations quantised while the model runs.

The same operators as ONNX Runtime's `quantize_dynamic` writes, which its sessions fuse, with three differences. An
embedding has one scale for each row instead of one for the table. What goes into a feed-forward layer's second matrix
has one scale for each token: behind GELU a few tokens are larger by orders of magnitude, and one scale for all of them
leaves the others nothing (on real weights most of what dynamic int8 loses is lost there). Its bytes use seven bits, so
that processors without VNNI, which add products in pairs of 16 bits, don't saturate. And it is done tensor by
tensor while the file is made, so that no float32 model is ever loaded for it.
The weights of a head's last layers on one token (Gemm) stay float32: less than 1 % of the file, and of the time.
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
_STEPS = 127  # of what is quantised by token: two products with int8 then fit into 16 bits
_SMALLEST_SCALE = 1e-30  # of a token that is all zeros
#: The second matrix of a feed-forward layer, by its name.
_DOWN_PROJECTION = re.compile(r"\.?layer\.\d+\.output\.dense\.")
_BLOCK_ROWS = 8192


def quantise(graph: ir.Graph, weight: ir.Value, values: NDArray[np.float32]) -> bool:
    """Rewrite the nodes that use this weight so that they take it as int8; return whether that was possible.

    Args:
        values: the weight's content; shape (rows, columns) where it can be quantised.
    """
    import numpy as np

    uses = {(node.op_type, index) for node, index in weight.uses()}
    if values.ndim != 2 or not uses <= {("MatMul", 1), ("Gather", 0), ("Transpose", 0)} or not uses:
        return False
    turned = uses == {("MatMul", 1)}  # stored as the product takes it: a scale a column; else a scale a row
    if not turned and ("MatMul", 1) in uses:
        return False
    quantised, scales = quantise_symmetric(values, axis=0 if turned else 1)
    stored = _initializer(graph, f"{weight.name}.int8", quantised)
    scale = _initializer(graph, f"{weight.name}.scale", scales[0] if turned else scales)
    for node, _ in list(weight.uses()):
        if node.op_type == "MatMul" and _DOWN_PROJECTION.search(str(weight.name)):
            _quantise_matmul_by_token(graph, node, stored, scale, column_sums=quantised.sum(axis=0, dtype=np.int32))
        elif node.op_type == "MatMul":
            _quantise_matmul(graph, node, stored, scale, columns=scales.size)
        elif node.op_type == "Gather":
            _quantise_gather(graph, node, stored, scale)
        else:
            of_columns = _initializer(graph, f"{weight.name}.column_scale", scales[:, 0])
            _quantise_tied(graph, node, stored, of_columns, columns=scales.size)
    return True


def quantise_symmetric(values: NDArray[np.float32], *, axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 values and the scales that turn them back, one for each slice along `axis` (kept, of length 1).

    values: shape (rows, columns). A slice of zeros has scale 1.
    """
    import numpy as np

    scales = np.maximum(values.max(axis=axis, keepdims=True), -values.min(axis=axis, keepdims=True))
    scales = (scales / np.float32(_LARGEST)).astype(np.float32)
    scales[scales == 0] = 1
    quantised = np.empty(values.shape, np.int8)
    spread = np.broadcast_to(scales, values.shape)
    for start in range(0, len(values), _BLOCK_ROWS):  # an embedding is large: no second float copy of it
        block = slice(start, start + _BLOCK_ROWS)
        quantised[block] = np.rint(values[block] / spread[block])
    return quantised, scales


def _quantise_matmul(graph: ir.Graph, node: ir.Node, stored: ir.Value, scale: ir.Value, *, columns: int) -> None:
    """x @ W -> Mul(Cast(MatMulInteger(quantised x, quantised W)), scale of x * scales of W): one scale a column."""
    import numpy as np
    import onnx_ir as ir

    zeros = _initializer(graph, f"{stored.name}.zero_point", np.zeros(columns, np.int8))
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

    The zero points are taken out afterwards, for ONNX Runtime's MatMulInteger has only one for all tokens.
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
    """x @ Transpose(W), W also an embedding: its int8 rows are the columns of the product, turned round on loading."""
    import onnx_ir as ir

    turned = ir.node("Transpose", [stored], attributes={"perm": [1, 0]})
    turned.outputs[0].name = f"{stored.name}.transposed"
    graph.insert_before(transpose, turned)
    for node, _ in list(transpose.outputs[0].uses()):
        assert node.op_type == "MatMul"  # noqa: S101 - the decoder of a masked language model
        _quantise_matmul(graph, node, turned.outputs[0], scale, columns=columns)
    graph.remove(transpose, safe=True)


def _quantised_input(graph: ir.Graph, node: ir.Node) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Return the int8 form of a node's first input, its scale and zero point; several nodes share one."""
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
    """Gather(W, ids) -> Cast(Gather(quantised W, ids)) * Gather(scales, ids): one scale a row."""
    import onnx_ir as ir

    ids = node.inputs[1]
    rows = ir.node("Gather", [stored, ids], attributes={"axis": 0})
    factors = ir.node("Gather", [scale, ids], attributes={"axis": 0})
    number = ir.node("Cast", rows.outputs, attributes={"to": ir.DataType.FLOAT})
    result = ir.node("Mul", [number.outputs[0], factors.outputs[0]])
    _replace(graph, node, [rows, factors, number, result])


def _replace(graph: ir.Graph, node: ir.Node, nodes: list[ir.Node]) -> None:
    """Put nodes in the place of one; the last one's output takes over from its."""
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
