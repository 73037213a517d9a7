"""4-bit embeddings: the table of words, most of a multilingual encoder's file, in blocks of four-bit numbers.

A block is 32 numbers of one row. Its scale is a float16 such that the number of largest magnitude is exactly -8 steps,
so that all 16 values are used. Two numbers share a byte, the first in its lower half.

A lookup gathers the bytes of the rows it needs and computes the numbers with ONNX's own operators. ONNX Runtime's
GatherBlockQuantized does the same in one node, but 1.19 does not have it; the difference in time can't be measured.
The decoder of a masked language model multiplies by the same bytes (MatMulNBits, which 1.19 has).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

#: Numbers that share a scale, where a row is a multiple of it; else the largest power of two that divides the row.
BLOCK = 32
_LEAST_BLOCK, _LEAST_PRODUCT_BLOCK = 8, 16  # MatMulNBits takes no smaller blocks
_LOWEST = -8
_ROWS = 8192  # at a time: a large table's floats are not copied as a whole
MICROSOFT = "com.microsoft"


def block_size(columns: int, *, is_tied: bool) -> int | None:
    """Return the numbers that share a scale in rows of this length; None: such a table is not stored in four bits."""
    block = math.gcd(columns, BLOCK)
    return block if block >= (_LEAST_PRODUCT_BLOCK if is_tied else _LEAST_BLOCK) else None


def pack(values: NDArray[np.float32], block: int) -> tuple[NDArray[np.uint8], NDArray[np.float16]] | None:
    """Return the bytes, shape (rows, blocks, block / 2), and the scales, shape (rows, blocks), of a table.

    Args:
        values: shape (rows, columns), where columns is a multiple of the block.

    Returns:
        None: a scale is beyond float16.
    """
    import numpy as np

    rows, columns = values.shape
    packed = np.empty((rows, columns // block, block // 2), np.uint8)
    scales = np.empty((rows, columns // block), np.float16)
    for start in range(0, rows, _ROWS):
        part = values[start : start + _ROWS].reshape(-1, columns // block, block)
        largest = np.take_along_axis(part, np.abs(part).argmax(axis=2, keepdims=True), axis=2)
        with np.errstate(over="ignore"):
            scale = (largest / _LOWEST).astype(np.float16)
        if not np.isfinite(scale).all():
            return None
        steps = scale.astype(np.float32)
        numbers = np.rint(np.divide(part, steps, out=np.zeros_like(part), where=steps != 0))
        stored = (np.clip(numbers, _LOWEST, -_LOWEST - 1) - _LOWEST).astype(np.uint8)
        packed[start : start + _ROWS] = stored[..., 0::2] | stored[..., 1::2] << 4
        scales[start : start + _ROWS] = scale[..., 0]
    return packed, scales


def quantise_table(graph: ir.Graph, table: ir.Value, values: NDArray[np.float32]) -> bool:
    """Rewrite the nodes that use a table so that they take it in four bits. Return whether that was possible.

    Args:
        table: a weight that is looked up, and perhaps transposed for the decoder of a masked language model.
        values: its values, shape (rows, columns).
    """
    uses = {(node.op_type, index) for node, index in table.uses()}
    if values.ndim != 2 or ("Gather", 0) not in uses or not uses <= {("Gather", 0), ("Transpose", 0)}:
        return False
    block = block_size(values.shape[1], is_tied=len(uses) > 1)
    found = pack(values, block) if block is not None else None
    if found is None:
        return False
    stored = _initializer(graph, f"{table.name}.int4", found[0])
    scales = _initializer(graph, f"{table.name}.scale", found[1])
    for node, _ in list(table.uses()):
        if node.op_type == "Gather":
            _look_up(graph, node, stored, scales)
        else:
            _decode(graph, node, stored, scales)
    return True


def _look_up(graph: ir.Graph, node: ir.Node, stored: ir.Value, scales: ir.Value) -> None:
    """Gather(W, ids) -> (the two halves of each byte, side by side, - 8) * Gather(scales, ids)."""
    import numpy as np
    import onnx_ir as ir

    made: list[ir.Node] = []

    def constant(name: str, values: object) -> ir.Value:
        return _initializer(graph, f"{node.name}.{name}", np.array(values))

    def add(op_type: str, *inputs: ir.Value, **attributes: int | str) -> ir.Value:
        made.append(ir.node(op_type, list(inputs), attributes=attributes))
        return made[-1].outputs[0]

    ids = node.inputs[1]
    assert ids is not None  # noqa: S101 - Gather has two inputs
    assert ids.shape is not None  # noqa: S101 - the tracer knows the rank of every value
    outer = [0] * len(ids.shape)  # as they are
    _, blocks, half = stored.const_value.shape.numpy()  # type: ignore[union-attr]
    last = constant("last", np.array([-1], np.int64))
    pairs = add("Gather", stored, ids, axis=0)
    low = add("BitwiseAnd", pairs, constant("low", np.uint8(15)))
    high = add("BitShift", pairs, constant("four", np.uint8(4)), direction="RIGHT")
    both = add("Concat", add("Unsqueeze", low, last), add("Unsqueeze", high, last), axis=-1)
    numbers = add("Reshape", both, constant("blocks", np.array([*outer, blocks, 2 * half], np.int64)))
    signed = add("Add", add("Cast", numbers, to=ir.DataType.FLOAT), constant("lowest", np.float32(_LOWEST)))
    steps = add("Cast", add("Gather", scales, ids, axis=0), to=ir.DataType.FLOAT)
    values = add("Mul", signed, add("Unsqueeze", steps, last))
    add("Reshape", values, constant("row", np.array([*outer, blocks * 2 * half], np.int64)))
    _replace(graph, node, made)


def _decode(graph: ir.Graph, transpose: ir.Node, stored: ir.Value, scales: ir.Value) -> None:
    """x @ Transpose(W), W also looked up: a product with the same bytes."""
    import onnx_ir as ir

    rows, blocks, half = stored.const_value.shape.numpy()  # type: ignore[union-attr]
    graph.opset_imports[MICROSOFT] = 1
    for node, _ in list(transpose.outputs[0].uses()):
        assert node.op_type == "MatMul"  # noqa: S101 - the decoder of a masked language model
        steps = ir.node("Cast", [scales], attributes={"to": ir.DataType.FLOAT})  # once, when the file is loaded
        product = ir.node(
            "MatMulNBits",
            [node.inputs[0], stored, steps.outputs[0]],
            domain=MICROSOFT,
            attributes={
                "K": blocks * 2 * half,
                "N": rows,
                "bits": 4,
                "block_size": 2 * half,
                "accuracy_level": ACCURACY_LEVEL,
            },
        )
        _replace(graph, node, [steps, product])
    graph.remove(transpose, safe=True)


#: Of MatMulNBits: activations in 8 bits, with a scale for each block.
ACCURACY_LEVEL = 4


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
