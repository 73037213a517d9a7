"""CPU graph: the same function in the operators whose kernels in ONNX Runtime are fast on a processor.

Measured with `python -m benchmarks.export`; docs/decisions/0048 says what was tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgebench.export.skeleton import INPUTS, static_shape

if TYPE_CHECKING:
    import onnx_ir as ir

_MASK = INPUTS[1]
#: What stands between the mask of ones and zeros and what is added to the scores of attention.
_OF_THE_MASK = ("Unsqueeze", "Mul", "Sub", "Cast")


def keep_norms_apart(graph: ir.Graph, *, biases_of: re.Pattern[str] | None = None) -> None:
    """Write the addition before each LayerNormalization as Sum, together with the bias that is added before it.

    ONNX Runtime fuses Add and LayerNormalization into SkipLayerNormalization, whose CPU kernel takes three times as
    long as the two alone. Sum adds in the same order, so that outputs are the same bits.

    Args:
        biases_of: names of matrices whose biases are taken into the sum; None: all. The runtime fuses the biases of
            others with their products.
    """
    import onnx_ir as ir

    for norm in [node for node in graph if node.op_type == "LayerNormalization"]:
        added = _producer(norm.inputs[0], "Add")
        if added is None:
            continue
        terms: list[ir.Value | None] = []
        for value in added.inputs:
            inner = _producer(value, "Add")
            # the first of them only: (x + bias) + residual
            if not terms and inner is not None and _adds_bias(inner, biases_of) and len(inner.outputs[0].uses()) == 1:
                terms += inner.inputs
            else:
                terms.append(value)
        total = ir.node("Sum", terms, name=str(added.name))
        (old,), (new,) = added.outputs, total.outputs
        new.name, new.shape, new.type = old.name, old.shape, old.type
        graph.insert_before(added, total)
        old.replace_all_uses_with(new)
        graph.remove(added, safe=True)
        for value in added.inputs:
            inner = _producer(value, "Add")
            if inner is not None and not inner.outputs[0].uses():
                graph.remove(inner, safe=True)


def _adds_bias(node: ir.Node, biases_of: re.Pattern[str] | None) -> bool:
    if not _is_weight(node.inputs[1]):
        return False
    product = _producer(node.inputs[0], "MatMul")
    weight = product.inputs[1] if product is not None else None
    return biases_of is None or (weight is not None and biases_of.search(str(weight.name)) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Attention of a layer over all tokens, as the skeleton computes it.

    Attributes:
        x: its input, shape (batch, tokens, hidden).
        weights: of query, key and value, shape (hidden, hidden) each.
        biases: theirs, shape (hidden,).
        heads: number of heads.
        mask: ones and zeros as integers, shape (batch, tokens).
        last: the node whose output is the heads' outputs side by side, shape (batch, tokens, hidden).
    """

    x: ir.Value
    weights: tuple[ir.Value, ir.Value, ir.Value]
    biases: tuple[ir.Value, ir.Value, ir.Value]
    heads: int
    mask: ir.Value
    last: ir.Node


def find_attentions(graph: ir.Graph) -> Iterator[Attention]:
    """Yield the attentions of which ONNX Runtime has one operator: scores scaled by the root of their size, and masked.

    DeBERTa's, for example, also depends on distances, and is not among them.
    """
    for node in list(graph):
        if node.op_type == "Softmax" and (found := _attention(node)) is not None:
            yield found


def _attention(softmax: ir.Node) -> Attention | None:
    masked = _producer(softmax.inputs[0], "Add")
    scaled = _producer(masked.inputs[0], "Mul") if masked is not None else None
    scores = _producer(scaled.inputs[0], "MatMul") if scaled is not None else None
    summed = _only_user(softmax, "MatMul")
    merged = _only_user(summed, "Transpose")
    last = _only_user(merged, "Reshape")
    if masked is None or scaled is None or scores is None or summed is None or merged is None or last is None:
        return None
    query = _projection(scores.inputs[0], (0, 2, 1, 3))
    key = _projection(scores.inputs[1], (0, 2, 3, 1))
    value = _projection(summed.inputs[1], (0, 2, 1, 3))
    mask = _mask_of(masked.inputs[1])
    if query is None or key is None or value is None or mask is None or _permutation(merged) != (0, 2, 1, 3):
        return None
    (x, heads, size), *others = query.shape, key.shape, value.shape
    scale = scaled.inputs[1].const_value if scaled.inputs[1] is not None else None
    if any(each != (x, heads, size) for each in others) or scale is None or scale.size != 1:
        return None
    if abs(float(scale.numpy().item()) * size**0.5 - 1) > 1e-5:
        return None
    return Attention(
        x=x,
        weights=(query.weight, key.weight, value.weight),
        biases=(query.bias, key.bias, value.bias),
        heads=heads,
        mask=mask,
        last=last,
    )


@dataclass(frozen=True, slots=True)
class _Projection:
    shape: tuple[ir.Value, int, int]  # input, heads, size of a head
    weight: ir.Value
    bias: ir.Value


def _projection(value: ir.Value | None, permutation: tuple[int, ...]) -> _Projection | None:
    """Return what makes the queries, keys or values: a product with a square weight and a bias, cut into heads."""
    turned = _producer(value, "Transpose")
    cut = _producer(turned.inputs[0], "Reshape") if turned is not None and _permutation(turned) == permutation else None
    added = _producer(cut.inputs[0], "Add") if cut is not None else None
    product = _producer(added.inputs[0], "MatMul") if added is not None else None
    if cut is None or added is None or product is None:
        return None
    x, weight, bias = product.inputs[0], product.inputs[1], added.inputs[1]
    shape = tuple(cut.outputs[0].shape or ())
    if x is None or weight is None or bias is None or not (_is_weight(weight) and _is_weight(bias)) or len(shape) != 4:
        return None
    heads, size = shape[2:]
    if not isinstance(heads, int) or not isinstance(size, int) or static_shape(weight) != (heads * size,) * 2:
        return None
    return _Projection((x, heads, size), weight, bias)


def _mask_of(added: ir.Value | None) -> ir.Value | None:
    """Return the integers from which the mask that is added is made."""
    value = added
    for op_type in _OF_THE_MASK:
        node = _producer(value, op_type)
        if node is None:
            return None
        value = node.inputs[1] if op_type == "Sub" else node.inputs[0]
    node = value.producer() if value is not None else None
    source = node.inputs[0] if node is not None and node.op_type == "Reshape" else value  # of several choices
    return value if source is not None and source.name == _MASK else None


def _producer(value: ir.Value | None, op_type: str) -> ir.Node | None:
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == op_type else None


def _only_user(node: ir.Node | None, op_type: str) -> ir.Node | None:
    users = [user for user, _ in node.outputs[0].uses()] if node is not None else []
    return users[0] if len(users) == 1 and users[0].op_type == op_type else None


def _permutation(node: ir.Node) -> tuple[int, ...]:
    return tuple(node.attributes["perm"].as_ints())


def _is_weight(value: ir.Value | None) -> bool:
    """Return whether a value is a weight of the checkpoint: given to the graph, and neither ids nor mask."""
    return value is not None and value.producer() is None and value.const_value is None and value.name not in INPUTS
