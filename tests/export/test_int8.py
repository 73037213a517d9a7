"""Dynamic int8 of one product, held against its definition: bytes, scales and zero points worked out by numpy."""

from __future__ import annotations

from typing import Any

import pytest

np = pytest.importorskip("numpy")
ir = pytest.importorskip("onnx_ir")
onnxruntime = pytest.importorskip("onnxruntime")

from edgebench.export.int8 import Quantiser, quantise_symmetric  # noqa: E402 - needs what may not be installed

pytestmark = pytest.mark.export
DOWN_PROJECTION = "encoder.layer.0.output.dense.weight.transposed"
ANOTHER = "encoder.layer.0.attention.output.dense.weight.transposed"
WIDE, NARROW = 64, 16


def run(weight_name: str, weight: Any, x: Any, **settings: Any) -> Any:
    """Return norm(x) @ weight as ONNX Runtime computes it once the weight is quantised.

    The norm's own output is x, whatever x is: one with a scale of 0 and a bias of 0 is added to it.
    """
    float32 = ir.TensorType(ir.DataType.FLOAT)
    given = ir.Value(name="x", shape=ir.Shape(["batch", "tokens", WIDE]), type=float32)
    stored = ir.Value(name=weight_name, shape=ir.Shape(weight.shape), type=float32)
    zero = ir.Value(
        name="zero", shape=ir.Shape([WIDE]), type=float32, const_value=ir.tensor(np.zeros(WIDE, np.float32))
    )
    norm = ir.node("LayerNormalization", [given, zero, zero], name="norm")
    norm.outputs[0].name = "normed"
    passed = ir.node("Add", [given, norm.outputs[0]], name="passed")
    product = ir.node("MatMul", [passed.outputs[0], stored], name="product")
    (answer,) = product.outputs
    answer.name, answer.shape, answer.type = "y", ir.Shape(["batch", "tokens", NARROW]), float32
    end = ir.node("Identity", [answer], name="end")
    end.outputs[0].name, end.outputs[0].shape, end.outputs[0].type = "out", answer.shape, float32
    nodes = [norm, passed, product, end]
    graph = ir.Graph([given], end.outputs, nodes=nodes, initializers=[zero], opset_imports={"": 18}, name="g")
    model = ir.Model(graph, ir_version=10)
    assert Quantiser(model, **settings).quantise(stored, weight)
    graph.sort()
    return session_of(model).run(None, {"x": x})[0]


def session_of(model: Any) -> Any:
    content = ir.to_proto(model).SerializeToString()
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


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
    quantised, column_scales = quantise_symmetric(weight, axis=0, largest_pair=127)
    steps = np.maximum(x.max(axis=-1, keepdims=True) / np.float32(223), np.float32(0.171 / 32))
    bytes_ = (np.rint(x / steps) + 32).clip(0, 255) - 32
    expected = bytes_.astype(np.int64) @ quantised.astype(np.int64) * steps * column_scales
    scale = np.abs(expected).max(axis=-1, keepdims=True)
    # a value right between two bytes may be rounded to either
    np.testing.assert_allclose(run(DOWN_PROJECTION, weight, x) / scale, expected / scale, atol=0.01)


def test_no_two_neighbours_saturate_16_bits() -> None:
    weight = dense_weight()
    quantised, _ = quantise_symmetric(weight, axis=0, largest_pair=127)
    sizes = np.abs(quantised.astype(int))
    assert (sizes[::2] + sizes[1::2]).max() * 255 < 2**15
    freely, _ = quantise_symmetric(weight, axis=0)
    assert np.abs(freely).max() == 127


def test_an_activation_without_a_known_lower_end_has_one_scale() -> None:
    x, weight = tokens()[:, [0, 1]], dense_weight()
    assert errors(run(DOWN_PROJECTION, weight, x - 1, lowest=None), x - 1, weight).max() < 0.03
    assert errors(run(DOWN_PROJECTION, weight, x - 1), x - 1, weight).max() > 0.03  # cut off at GELU's lower end


@pytest.mark.parametrize("value", [0.0, 2.5, -0.15])
def test_a_token_of_one_value_is_answered(value: float) -> None:
    x, weight = np.full((1, 1, WIDE), value, np.float32), dense_weight()
    np.testing.assert_allclose(
        run(DOWN_PROJECTION, weight, x), x @ weight, atol=0.05 * max(abs(value), 0.1) * WIDE**0.5
    )


def test_channels_that_differ_are_brought_nearer_to_each_other() -> None:
    """Normed tokens with one channel a hundred times as large as the others."""
    rng = np.random.default_rng(3)
    x, weight = rng.normal(size=(2, 5, WIDE)).astype(np.float32), dense_weight()
    gain = np.ones(WIDE, np.float32)
    gain[7] = 100
    weight[7] /= 100
    float32 = ir.TensorType(ir.DataType.FLOAT)
    module, found = "encoder.layer.0.intermediate.dense", {}
    normed = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * gain
    for name, ranges in (("no", {}), ("yes", {module: np.abs(normed).max(axis=(0, 1))})):
        given = ir.Value(name="x", shape=ir.Shape(["batch", "tokens", WIDE]), type=float32)
        scale = ir.Value(name="gain", shape=ir.Shape([WIDE]), type=float32, const_value=ir.tensor(gain))
        stored = ir.Value(name=f"{module}.weight.transposed", shape=ir.Shape(weight.shape), type=float32)
        norm = ir.node("LayerNormalization", [given, scale], name="norm")
        norm.outputs[0].name = "normed"
        product = ir.node("MatMul", [norm.outputs[0], stored], name="product")
        ends = [ir.node("Identity", [each.outputs[0]], name=f"end.{each.name}") for each in (product, norm)]
        both = [end.outputs[0] for end in ends]
        for value, wide in zip(both, (NARROW, WIDE), strict=True):
            value.name, value.shape, value.type = f"out.{wide}", ir.Shape(["batch", "tokens", wide]), float32
        graph = ir.Graph(
            [given], both, nodes=[norm, product, *ends], initializers=[scale], opset_imports={"": 18}, name="g"
        )
        model = ir.Model(graph, ir_version=10)
        assert Quantiser(model, ranges=ranges).quantise(stored, weight)
        graph.sort()
        answer, states = session_of(model).run(None, {"x": x})
        np.testing.assert_allclose(states, normed, atol=1e-3)  # other users of the norm see what they saw
        found[name] = errors(answer, normed, weight).max()
    assert found["yes"] < found["no"] / 3
