"""Dynamic int8 of one product, held against its definition: bytes, scales and zero points worked out by numpy."""

from __future__ import annotations

from typing import Any

import pytest

np = pytest.importorskip("numpy")
ir = pytest.importorskip("onnx_ir")
onnxruntime = pytest.importorskip("onnxruntime")

from edgebench.export.int8 import quantise  # noqa: E402 - needs what may not be installed

pytestmark = pytest.mark.export
DOWN_PROJECTION = "encoder.layer.0.output.dense.weight.transposed"
ANOTHER = "encoder.layer.0.attention.output.dense.weight.transposed"
WIDE, NARROW = 64, 16


def run(weight_name: str, weight: Any, x: Any) -> Any:
    """Return x @ weight as ONNX Runtime computes it once the weight is quantised."""
    float32 = ir.TensorType(ir.DataType.FLOAT)
    given = ir.Value(name="x", shape=ir.Shape(["batch", "tokens", WIDE]), type=float32)
    stored = ir.Value(name=weight_name, shape=ir.Shape(weight.shape), type=float32)
    product = ir.node("MatMul", [given, stored], name="product")
    (answer,) = product.outputs
    answer.name, answer.shape, answer.type = "y", ir.Shape(["batch", "tokens", NARROW]), float32
    end = ir.node("Identity", [answer], name="end")
    end.outputs[0].name, end.outputs[0].shape, end.outputs[0].type = "out", answer.shape, float32
    graph = ir.Graph([given], end.outputs, nodes=[product, end], opset_imports={"": 18}, name="g")
    assert quantise(graph, stored, weight)
    model = ir.to_proto(ir.Model(graph, ir_version=10)).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def dense_weight() -> Any:
    """Large values side by side: where products are added in pairs of 16 bits, unsigned bytes of 8 would saturate."""
    return np.random.default_rng(1).uniform(-1, 1, (WIDE, NARROW)).astype(np.float32)


def tokens() -> Any:
    """Two batches of five tokens: like what GELU gives; the third a thousand times as large."""
    x = np.random.default_rng(2).normal(0.2, 0.5, (2, 5, WIDE)).clip(-0.17).astype(np.float32)
    x[:, 2] *= 1000
    return x


def errors(actual: Any, x: Any, weight: Any) -> Any:
    """Return the error of each token against its largest right number."""
    right = x.astype(np.float64) @ weight
    return np.abs(actual - right).max(axis=-1) / np.abs(right).max(axis=-1)


def test_one_large_token_leaves_the_others_their_precision() -> None:
    x, weight = tokens(), dense_weight()
    assert errors(run(DOWN_PROJECTION, weight, x), x, weight).max() < 0.03
    others = [0, 1, 3, 4]
    assert errors(run(ANOTHER, weight, x), x, weight)[:, others].max() > 0.3  # one scale for all of them


def test_the_product_is_that_of_each_tokens_own_bytes() -> None:
    x, weight = tokens(), dense_weight()
    column_scales = np.abs(weight).max(axis=0) / 127
    low, high = np.minimum(x.min(axis=-1, keepdims=True), 0), np.maximum(x.max(axis=-1, keepdims=True), 0)
    steps = (high - low) / np.float32(127)
    zeros = np.rint(-low / steps)
    bytes_ = (np.rint(x / steps) + zeros).clip(0, 127) - zeros
    expected = bytes_.astype(np.int64) @ np.rint(weight / column_scales).astype(np.int64) * steps * column_scales
    scale = np.abs(expected).max(axis=-1, keepdims=True)
    # a value right between two bytes may be rounded to either
    np.testing.assert_allclose(run(DOWN_PROJECTION, weight, x) / scale, expected / scale, atol=0.01)


@pytest.mark.parametrize("value", [0.0, 2.5, -2.5])
def test_a_token_of_one_value_is_answered(value: float) -> None:
    x, weight = np.full((1, 1, WIDE), value, np.float32), dense_weight()
    np.testing.assert_allclose(run(DOWN_PROJECTION, weight, x), x @ weight, atol=0.05 * abs(value) * WIDE**0.5)
