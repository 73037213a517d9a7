"""Dynamic int8: weights are stored as int8, activations are quantised while the model runs.

The graph uses the operators that ONNX Runtime's `quantize_dynamic` writes, which its sessions fuse, and QAttention
where attention has the usual form. What differs:

- An embedding has one scale per row instead of one per table, a matrix one per column.
- What a layer normalisation gives differs much between channels, and one scale for all of them costs most of the
  precision. Each channel is divided by the square root of the largest magnitude that it had in torch, and its row of
  the matrix multiplied by the same (SmoothQuant, Xiao et al. 2023, with half of the range moved).
- The input of a feed-forward layer's second matrix has one scale per token. After GELU, a few tokens are larger by
  orders of magnitude; with one common scale, all other tokens round to almost nothing. All tokens share the byte that
  means zero, since no activation is far below it: the product needs no correction.
- That matrix has no two neighbours in a column that add up to more than 128: processors without VNNI add products in
  pairs of 16 bits and would saturate.
- Quantisation runs tensor by tensor while the file is written, so the float32 model is never in memory.

The weights of a head's last layers on one token (Gemm) stay float32: less than 1 % of the file and of the latency.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edgebench.export.cpu_graph import Attention
from edgebench.export.memory import row_blocks
from edgebench.export.skeleton import TRANSPOSED, static_shape

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

#: By hidden_act, a number that no activation is below.
LOWEST: Mapping[str, float] = {
    **dict.fromkeys(("gelu", "gelu_new", "gelu_fast", "gelu_python", "gelu_pytorch_tanh", "quick_gelu"), -0.171),
    **dict.fromkeys(("silu", "swish"), -0.279),
    **dict.fromkeys(("relu", "relu6", "sigmoid"), -1e-6),
    "mish": -0.31,
    "tanh": -1.0,
}
MICROSOFT = "com.microsoft"

_LARGEST = 127  # symmetric: -128 is not used
_ZERO = 32  # the byte that means zero in activations quantised per token
_LARGEST_PAIR = 127  # of two weights; rounding adds one at most, and 255 * 128 fits into 16 bits
_LEAST_FACTOR = 0.01  # of the largest: a channel that was never used


def down_projections(name: str) -> re.Pattern[str]:
    """Return a pattern for the weights of feed-forward layers' second matrices.

    Args:
        name: theirs after the layer's number, as in `Family.down_projection`.
    """
    return re.compile(rf"\.?layer\.\d+\.{re.escape(name)}\.")


class Quantiser:
    """Rewrites the nodes of a skeleton's graph so that they take weights as int8."""

    def __init__(
        self,
        model: ir.Model,
        *,
        ranges: Mapping[str, NDArray[np.float32]] | None = None,
        down_projection: str = "output.dense",
        lowest: float | None = LOWEST["gelu"],
    ) -> None:
        """Prepare a graph.

        Args:
            ranges: by the name of a linear module, the largest magnitude that each of its inputs had. Shape (inputs,).
            down_projection: name of the second matrix of a feed-forward layer, after the layer's number.
            lowest: a number that no input of that matrix is below; None: not known, and it is quantised as the others.
        """
        self._model, self._graph = model, model.graph
        self._ranges = ranges or {}
        self._down_projection = down_projections(down_projection)
        self._lowest = lowest
        self._smoothed: dict[ir.Value, tuple[ir.Value, NDArray[np.float32]]] = {}
        self._of_tokens: tuple[ir.Value, ir.Value] | None = None
        model.opset_imports[MICROSOFT] = 1

    def quantise(self, weight: ir.Value, values: NDArray[np.float32]) -> bool:
        """Rewrite the nodes that use this weight. Return whether that was possible.

        Args:
            values: the weight's values. Only weights of shape (rows, columns) can be quantised.
        """
        uses = {(node.op_type, index) for node, index in weight.uses()}
        if not is_quantised(weight):
            return False
        if uses == {("MatMul", 1)}:
            self._quantise_products(weight, values)
            return True
        quantised, scales = quantise_symmetric(values, axis=1)
        stored = self._constant(f"{weight.name}.int8", quantised)
        scale = self._constant(f"{weight.name}.scale", scales)
        for node, _ in list(weight.uses()):
            if node.op_type == "Gather":
                self._quantise_gather(node, stored, scale)
            else:
                column_scale = self._constant(f"{weight.name}.column_scale", scales[:, 0])
                self._quantise_tied(node, stored, column_scale)
        return True

    def fuse(self, attention: Attention, read: Callable[[ir.Value], NDArray[np.float32]]) -> None:
        """Replace the nodes of an attention by QAttention, which takes the weights of query, key and value as one.

        Args:
            read: returns the values of a weight.
        """
        import numpy as np
        import onnx_ir as ir
        import onnx_ir.passes.common as passes

        name = f"{attention.weights[0].name}".removesuffix(TRANSPOSED).removesuffix(".weight") + ".and_key_value"
        values = np.concatenate([read(weight) for weight in attention.weights], axis=1)
        x, values = self._smooth(attention.x, attention.weights[0], values)
        quantised, scales = quantise_symmetric(values, axis=0)
        bias = np.concatenate([read(each) for each in attention.biases])
        byte, scale, zero = self._quantised_input(attention.last, x)
        inputs = [
            byte,
            self._constant(f"{name}.int8", quantised),
            self._constant(f"{name}.bias", bias),
            scale,
            self._constant(f"{name}.scale", scales[0]),
            self._integer_mask(attention.mask),
            zero,
        ]
        attributes = {"num_heads": attention.heads, "mask_filter_value": float(np.finfo(np.float32).min)}
        self._replace(attention.last, [ir.node("QAttention", inputs, domain=MICROSOFT, attributes=attributes)])
        passes.RemoveUnusedNodesPass()(self._model)

    def _quantise_products(self, weight: ir.Value, values: NDArray[np.float32]) -> None:
        """x @ W, for each x that is multiplied by this weight."""
        is_down_projection = self._down_projection.search(str(weight.name)) is not None and self._lowest is not None
        nodes = [node for node, _ in weight.uses()]
        if not is_down_projection and len(nodes) == 1 and nodes[0].inputs[0] is not None:
            x, values = self._smooth(nodes[0].inputs[0], weight, values)
            nodes[0].replace_input_with(0, x)
        quantised, scales = quantise_symmetric(
            values, axis=0, largest_pair=_LARGEST_PAIR if is_down_projection else None
        )
        stored = self._constant(f"{weight.name}.int8", quantised)
        scale = self._constant(f"{weight.name}.scale", scales[0])
        for node in nodes:
            if is_down_projection:
                self._quantise_matmul_by_token(node, stored, scale)
            else:
                self._quantise_matmul(node, stored, scale)

    def _smooth(
        self, x: ir.Value, weight: ir.Value, values: NDArray[np.float32]
    ) -> tuple[ir.Value, NDArray[np.float32]]:
        """Return x with its channels brought nearer to each other, and the weight's values that go with it."""
        import numpy as np
        import onnx_ir as ir

        made = self._smoothed.get(x)
        if made is None:
            producer = x.producer()
            module = str(weight.name).removesuffix(TRANSPOSED).removesuffix(".weight")
            ranges = self._ranges.get(module)
            if producer is None or producer.op_type != "LayerNormalization" or ranges is None or not ranges.any():
                return x, values
            factors = np.sqrt(np.maximum(ranges, _LEAST_FACTOR * ranges.max()))
            factors = (factors / np.exp(np.log(factors).mean())).astype(np.float32)
            divided = ir.node("Mul", [x, self._constant(f"{x.name}.smoothing", 1 / factors)], name=f"{x.name}.smooth")
            (output,) = divided.outputs
            output.name, output.shape, output.type = f"{x.name}.smoothed", x.shape, x.type
            self._graph.insert_after(producer, divided)
            made = self._smoothed[x] = (output, factors)
        return made[0], values * made[1][:, None]

    def _quantise_matmul(self, node: ir.Node, stored: ir.Value, scale: ir.Value) -> None:
        """x @ W -> Mul(Cast(MatMulInteger(bytes of x, bytes of W)), scale of x * scales of W), one scale per column."""
        import onnx_ir as ir

        assert node.inputs[0] is not None  # noqa: S101 - MatMul has two inputs
        x, x_scale, x_zero = self._quantised_input(node, node.inputs[0])
        product = ir.node("MatMulInteger", [x, stored, x_zero])
        number = ir.node("Cast", product.outputs, attributes={"to": ir.DataType.FLOAT})
        factor = ir.node("Mul", [x_scale, scale])
        result = ir.node("Mul", [number.outputs[0], factor.outputs[0]])
        self._replace(node, [product, number, factor, result])

    def _quantise_matmul_by_token(self, node: ir.Node, stored: ir.Value, scale: ir.Value) -> None:
        """x @ W -> bytes of x @ bytes of W, times the scale of each token and of each column."""
        import numpy as np
        import onnx_ir as ir

        lowest = self._lowest or 0.0
        made: list[ir.Node] = []

        def constant(name: str, values: object) -> ir.Value:
            return self._constant(f"{stored.name}.{name}", np.array(values))

        def add(op_type: str, *inputs: ir.Value | None, domain: str = "", **attributes: int) -> ir.Value:
            made.append(ir.node(op_type, list(inputs), domain=domain, attributes=attributes))
            return made[-1].outputs[0]

        x = node.inputs[0]
        assert x is not None  # noqa: S101 - MatMul has two inputs
        zeros, shape = self._for_tokens()
        last = constant("last", np.array([-1], np.int64))
        rows = add("Reshape", x, constant("rows", np.array([-1, static_shape(stored)[0]], np.int64)))
        largest = add("ReduceMax", rows, last, keepdims=1)
        step = add("Mul", largest, constant("steps", np.float32(1 / (255 - _ZERO))))
        step = add("Max", step, constant("least_step", np.float32(-lowest / _ZERO)))
        bytes_ = add("QuantizeLinear", rows, add("Reshape", step, last), zeros, axis=0)
        one, zero = constant("one", np.float32(1)), constant("zero", np.uint8(_ZERO))
        product = add("MatMulIntegerToFloat", bytes_, stored, one, scale, zero, domain=MICROSOFT)
        add("Reshape", add("Mul", product, step), shape)
        self._replace(node, made)

    def _for_tokens(self) -> tuple[ir.Value, ir.Value]:
        """Return the byte that means zero once for each token, and the shape (..., -1) of what is not in rows."""
        import numpy as np
        import onnx_ir as ir

        if self._of_tokens is None:
            norm = next(node for node in self._graph if node.op_type == "LayerNormalization")
            minus_one = self._constant("tokens.minus_one", np.array([-1], np.int64))
            dims = ir.node("Shape", [norm.outputs[0]], attributes={"end": -1})
            count = ir.node("ReduceProd", dims.outputs, attributes={"keepdims": 1})
            zeros = ir.node("Expand", [self._constant("tokens.zero", np.array([_ZERO], np.uint8)), count.outputs[0]])
            shape = ir.node("Concat", [dims.outputs[0], minus_one], attributes={"axis": 0})
            for made, suffix in ((dims, "dimensions"), (count, "count"), (zeros, "zeros"), (shape, "shape")):
                made.name = made.outputs[0].name = f"tokens.{suffix}"
            self._graph.insert_after(norm, [dims, count, zeros, shape])
            self._of_tokens = zeros.outputs[0], shape.outputs[0]
        return self._of_tokens

    def _quantise_tied(self, transpose: ir.Node, stored: ir.Value, scale: ir.Value) -> None:
        """x @ Transpose(W), W also an embedding: its int8 rows are the columns of the product."""
        import onnx_ir as ir

        transposed = ir.node("Transpose", [stored], attributes={"perm": [1, 0]})
        transposed.outputs[0].name = f"{stored.name}.transposed"
        self._graph.insert_before(transpose, transposed)
        for node, _ in list(transpose.outputs[0].uses()):
            assert node.op_type == "MatMul"  # noqa: S101 - the decoder of a masked language model
            self._quantise_matmul(node, transposed.outputs[0], scale)
        self._graph.remove(transpose, safe=True)

    def _quantised_input(self, node: ir.Node, value: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Return a node's input as bytes, its scale and its zero point. Nodes with the same input share them."""
        import onnx_ir as ir

        made = next((user for user, _ in value.uses() if user.op_type == "DynamicQuantizeLinear"), None)
        if made is None:
            made = ir.node("DynamicQuantizeLinear", [value], num_outputs=3, name=f"{node.name}.quantise")
            for output, suffix in zip(made.outputs, ("int8", "scale", "zero_point"), strict=True):
                output.name = f"{value.name}.{suffix}"
            self._graph.insert_before(node, made)
        x, scale, zero = made.outputs
        return x, scale, zero

    def _integer_mask(self, mask: ir.Value) -> ir.Value:
        """Return the mask as QAttention takes it. All attentions share it."""
        import onnx_ir as ir

        name = f"{mask.name}.int32"
        made = next((user for user, _ in mask.uses() if user.outputs[0].name == name), None)
        if made is None:
            made = ir.node("Cast", [mask], attributes={"to": ir.DataType.INT32}, name=name)
            made.outputs[0].name = name
            first = mask.producer()
            if first is None:
                self._graph.insert_before(next(iter(self._graph)), made)
            else:
                self._graph.insert_after(first, made)
        return made.outputs[0]

    def _quantise_gather(self, node: ir.Node, stored: ir.Value, scale: ir.Value) -> None:
        """Gather(W, ids) -> Cast(Gather(quantised W, ids)) * Gather(scales, ids), one scale per row."""
        import onnx_ir as ir

        ids = node.inputs[1]
        rows = ir.node("Gather", [stored, ids], attributes={"axis": 0})
        factors = ir.node("Gather", [scale, ids], attributes={"axis": 0})
        number = ir.node("Cast", rows.outputs, attributes={"to": ir.DataType.FLOAT})
        result = ir.node("Mul", [number.outputs[0], factors.outputs[0]])
        self._replace(node, [rows, factors, number, result])

    def _replace(self, node: ir.Node, nodes: list[ir.Node]) -> None:
        """Replace a node by several; the output of the last one replaces its output."""
        (old,), (new,) = node.outputs, nodes[-1].outputs
        for position, made in enumerate(nodes):
            made.name = f"{node.name}.{position}.{made.op_type}"
            made.outputs[0].name = f"{old.name}.{position}"
        new.shape, new.type = old.shape, old.type
        self._graph.insert_before(node, nodes)
        old.replace_all_uses_with(new)
        self._graph.remove(node, safe=True)

    def _constant(self, name: str, values: NDArray[np.generic]) -> ir.Value:
        import onnx_ir as ir

        known = self._graph.initializers.get(name)
        if known is not None:
            return known
        tensor = ir.tensor(values, name=name)
        value = ir.Value(name=name, shape=ir.Shape(values.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        self._graph.register_initializer(value)
        return value


def is_quantised(weight: ir.Value) -> bool:
    """Return whether a weight of a skeleton is stored as int8: a matrix of products, or a table."""
    uses = {(node.op_type, index) for node, index in weight.uses()}
    if len(static_shape(weight)) != 2 or not uses:
        return False
    return uses == {("MatMul", 1)} or uses <= {("Gather", 0), ("Transpose", 0)}


def quantise_symmetric(
    values: NDArray[np.float32], *, axis: int, largest_pair: int | None = None
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 values and their scales, one for each slice along `axis` (the axis is kept, with length 1).

    Args:
        values: shape (rows, columns). A slice of zeros gets scale 1.
        largest_pair: of axis 0: limit for the magnitudes of rows 2i and 2i + 1 together.
    """
    import numpy as np

    pairs = np.zeros(1, np.float32)
    if largest_pair is not None and len(values) > 1:
        sizes = np.abs(values[: len(values) // 2 * 2])
        pairs = (sizes[::2] + sizes[1::2]).max(axis=0, keepdims=True) / np.float32(largest_pair)
    if axis == 0:
        scales = _scales(values, axis, pairs)
        return _rounded(values, scales), scales
    quantised, scales = np.empty(values.shape, np.int8), np.empty((len(values), 1), np.float32)
    done = 0
    for block in row_blocks(values):  # an embedding may be most of the model: no copy of it
        rows = slice(done, done + len(block))
        done += len(block)
        scales[rows] = _scales(block, axis, pairs)
        quantised[rows] = _rounded(block, scales[rows])
    return quantised, scales


def _scales(values: NDArray[np.float32], axis: int, least: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    largest = np.maximum(values.max(axis=axis, keepdims=True), -values.min(axis=axis, keepdims=True))
    scales: NDArray[np.float32] = np.maximum(largest / np.float32(_LARGEST), least).astype(np.float32)
    scales[scales == 0] = 1
    return scales


def _rounded(values: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.int8]:
    import numpy as np

    scaled = values / scales
    np.rint(scaled, out=scaled)
    rounded: NDArray[np.int8] = scaled.astype(np.int8)
    return rounded
