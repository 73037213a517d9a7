"""4-bit embeddings: held against numpy, against torch for a whole file, and refused where a table does not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgebench.artifact import Artifact, Format
from edgebench.board.agent import connect_agent
from edgebench.board.preflight import preflight, providers_for
from edgebench.device import find_device, load_profile
from edgebench.errors import BoardError
from edgebench.export import export_model
from tests.export.conftest import build

np = pytest.importorskip("numpy")
ir = pytest.importorskip("onnx_ir")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from edgebench.export.int4 import block_size, pack, quantise_table  # noqa: E402 - needs what may not be installed

pytestmark = pytest.mark.export
ROWS = 40


def packed_as(values: Any, block: int | None) -> Any:
    """Return the bytes and the scales of values that can be stored."""
    assert block is not None
    found = pack(values, block)
    assert found is not None
    return found


def unpack(packed: Any, scales: Any) -> Any:
    """Return the numbers that bytes and scales stand for."""
    numbers = np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:2], -1).astype(np.float32) - 8
    return (numbers * scales.astype(np.float32)[..., None]).reshape(len(packed), -1)


def table(columns: int = 64) -> Any:
    """Values of which some blocks are a thousand times as large as others."""
    random = np.random.default_rng(3)
    return (random.normal(size=(ROWS, columns)) * 10.0 ** random.integers(-2, 2, (ROWS, 1))).astype(np.float32)


def graph_of(*nodes: Any, given: Any, stored: Any) -> Any:
    """Return a graph of these nodes, whose last output is its own."""
    end = ir.node("Identity", [nodes[-1].outputs[0]], name="end")
    end.outputs[0].name, end.outputs[0].type = "out", ir.TensorType(ir.DataType.FLOAT)
    for number, node in enumerate(nodes):
        node.name, node.outputs[0].name = f"node{number}", f"value{number}"
        node.outputs[0].type = stored.type
    return ir.Graph(given, end.outputs, nodes=[*nodes, end], opset_imports={"": 18}, name="g")


def answer(graph: Any, inputs: dict[str, Any]) -> Any:
    model = ir.to_proto(ir.Model(graph, ir_version=10)).SerializeToString()
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, inputs)[0]


def weight(values: Any) -> Any:
    return ir.Value(name="words", shape=ir.Shape(values.shape), type=ir.TensorType(ir.DataType.FLOAT))


# --- the numbers ------------------------------------------------------------------------------------------------


def test_a_number_is_off_by_half_a_step_and_the_largest_of_a_block_is_right() -> None:
    values = table()
    packed, scales = packed_as(values, 32)
    assert packed.shape == (ROWS, 2, 16) and scales.shape == (ROWS, 2) and scales.dtype == np.float16
    blocks, steps = values.reshape(ROWS, 2, 32), np.abs(scales.astype(np.float32))[..., None]
    errors = np.abs(unpack(packed, scales).reshape(blocks.shape) - blocks)
    opposite = np.sign(blocks) == np.sign(scales.astype(np.float32))[..., None]  # of these, only seven steps exist
    assert (errors[~opposite] <= (0.5 * steps + 0.01 * steps).repeat(32, 2)[~opposite]).all()
    assert (errors <= 1.01 * steps).all()
    largest = np.abs(blocks).argmax(axis=2)[..., None]
    assert (np.take_along_axis(errors, largest, 2) <= 1e-3 * np.abs(np.take_along_axis(blocks, largest, 2))).all()


def test_values_that_were_rounded_like_this_before_lose_nothing() -> None:
    once = unpack(*packed_as(table(), 32))
    np.testing.assert_array_equal(unpack(*packed_as(once, 32)), once)


def test_zeros_stay_zeros_and_a_scale_beyond_float16_is_not_stored() -> None:
    np.testing.assert_array_equal(unpack(*packed_as(np.zeros((3, 32), np.float32), 32)), 0)
    assert pack(np.full((3, 32), 1e6, np.float32), 32) is None


@pytest.mark.parametrize(
    ("columns", "block", "tied"),
    [(384, 32, 32), (48, 16, 16), (312, 8, None), (12, None, None), (33, None, None)],
)
def test_a_block_divides_the_row(columns: int, block: int | None, tied: int | None) -> None:
    assert block_size(columns, is_tied=False) == block
    assert block_size(columns, is_tied=True) == tied


# --- the graph --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [64, 48, 24])
@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 5), (1, 1)])
def test_a_lookup_gives_exactly_the_stored_numbers(columns: int, shape: tuple[int, ...]) -> None:
    values = table(columns)
    stored = weight(values)
    ids = ir.Value(name="ids", shape=ir.Shape(["d"] * len(shape)), type=ir.TensorType(ir.DataType.INT64))
    graph = graph_of(ir.node("Gather", [stored, ids]), given=[ids], stored=stored)
    assert quantise_table(graph, stored, values)
    taken = np.random.default_rng(0).integers(0, ROWS, shape)
    np.testing.assert_array_equal(
        answer(graph, {"ids": taken}), unpack(*packed_as(values, block_size(columns, is_tied=False)))[taken]
    )


def test_a_decoder_multiplies_by_the_bytes_that_are_looked_up() -> None:
    values = table()
    stored = weight(values)
    ids = ir.Value(name="ids", shape=ir.Shape(["d"]), type=ir.TensorType(ir.DataType.INT64))
    looked_up = ir.node("Gather", [stored, ids])
    looked_up.outputs[0].shape = ir.Shape(["d", 64])
    turned = ir.node("Transpose", [stored], attributes={"perm": [1, 0]})
    product = ir.node("MatMul", [looked_up.outputs[0], turned.outputs[0]])
    graph = graph_of(looked_up, turned, product, given=[ids], stored=stored)
    assert quantise_table(graph, stored, values)
    assert len([name for name in graph.initializers if name.endswith(".int4")]) == 1
    numbers = unpack(*packed_as(values, 32))
    taken = np.array([3, 17, 3, 0])
    right = numbers[taken] @ numbers.T
    assert np.abs(answer(graph, {"ids": taken}) - right).max() < 0.02 * np.abs(right).max()  # x is in 8 bits


# --- the file ---------------------------------------------------------------------------------------------------


def initializers(artifact: Artifact) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tuple(tensor.dims) for tensor in onnx.load(artifact.model_path).graph.initializer}


def test_only_the_table_of_words_has_four_bits(cache: Path, tmp_path: Path) -> None:
    build("XLMRobertaModel").save_pretrained(tmp_path / "model")
    int4, int8 = (
        export_model(tmp_path / "model", format, cache=cache).artifact for format in ("onnx-int4", "onnx-int8")
    )
    assert [name for name in initializers(int4) if name.endswith(".int4")] == ["embeddings.word_embeddings.weight.int4"]
    others = {name for name in initializers(int8) if name.endswith(".int8") and "word_embeddings" not in name}
    assert others and others <= set(initializers(int4))
    assert int4.bytes < int8.bytes and not int4.shortfalls
    theirs = ({(node.domain, node.op_type) for node in onnx.load(each.model_path).graph.node} for each in (int4, int8))
    new = next(theirs) - next(theirs)
    assert new <= {("", name) for name in ("BitwiseAnd", "BitShift", "Concat", "Unsqueeze", "Reshape", "Add", "Cast")}


def test_a_masked_language_model_holds_its_vocabulary_once(cache: Path, tmp_path: Path) -> None:
    build("XLMRobertaForMaskedLM").save_pretrained(tmp_path / "model")
    artifact = export_model(tmp_path / "model", "onnx-int4", cache=cache, accept_parity=True).artifact
    stored = [name for name, dims in initializers(artifact).items() if len(dims) == 3 and dims[0] == 300]
    assert stored == ["roberta.embeddings.word_embeddings.weight.int4"]
    assert not [name for name in initializers(artifact) if "word_embeddings.weight.int8" in name]
    assert artifact.parity is not None and artifact.parity.mean_cosine > 0.95


def test_a_row_that_no_block_divides_is_stored_as_in_int8(cache: Path, tmp_path: Path) -> None:
    build("XLMRobertaModel", hidden_size=36, num_attention_heads=4).save_pretrained(tmp_path / "model")
    artifact = export_model(tmp_path / "model", "onnx-int4", cache=cache).artifact
    assert "embeddings.word_embeddings.weight.int8" in initializers(artifact)


def test_a_file_of_its_own_is_read_again_with_its_vocabulary_and_length(cache: Path, tmp_path: Path) -> None:
    build("XLMRobertaModel").save_pretrained(tmp_path / "model")
    made = export_model(tmp_path / "model", "onnx-int4", cache=cache).artifact
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(made.model_path.read_bytes())
    found = export_model(alone, cache=cache).artifact
    assert (found.format, found.vocab_size, found.max_seq_len) == (Format.ONNX, made.vocab_size, made.max_seq_len)


def test_a_gpu_does_not_get_it(cache: Path) -> None:
    artifact = export_model("reference:tiny", "onnx-int4", cache=cache).artifact
    jetson = replace(find_device("local"), profile=load_profile("jetson-orin-nano"))
    assert jetson.profile.providers and providers_for(jetson, artifact) == []


# --- a runtime that lacks an operator ---------------------------------------------------------------------------


def with_operator(path: Path, op_type: str, **attributes: Any) -> Path:
    """Save a model whose embeddings are looked up by an operator of ONNX Runtime's own."""
    from onnx import TensorProto, helper, numpy_helper

    byte = "bits" in attributes
    packed = np.full((20, 16 if byte else 32), 0x98 if byte else 1, np.uint8 if byte else np.int8)
    raw = packed.tobytes() if byte else np.full((20, 16), 0x11, np.uint8).tobytes()
    kind, dims = (TensorProto.UINT8, [20, 16]) if byte else (TensorProto.INT4, [20, 32])
    words = onnx.TensorProto(name="words", data_type=kind, dims=dims, raw_data=raw)
    scales = numpy_helper.from_array(np.ones((20, 1), np.float32), "scales")
    node = helper.make_node(
        op_type,
        ["words", "input_ids", "scales"],
        ["states"],
        domain="com.microsoft",
        gather_axis=0,
        quantize_axis=1,
        block_size=32,
        **attributes,
    )
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])
    out = helper.make_tensor_value_info("states", TensorProto.FLOAT, ["batch", "sequence", 32])
    graph = helper.make_graph([node], "g", [ids], [out], [words, scales])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


@pytest.mark.parametrize(
    ("attributes", "since", "has", "lacks"),
    [({}, "1.20", "1.20.0", "1.19.2"), ({"bits": 4}, "1.23", "1.23.2", "1.22.1")],
)
def test_a_board_whose_onnxruntime_lacks_an_operator_is_refused_before_the_push(
    tmp_path: Path,
    cache: Path,
    attributes: dict[str, int],
    since: str,
    has: str,
    lacks: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from edgebench.board import agent as agents

    artifact = export_model(
        with_operator(tmp_path / "model.onnx", "GatherBlockQuantized", **attributes), cache=cache
    ).artifact
    assert artifact.operators_since == {"GatherBlockQuantized": since}
    assert Artifact.from_json(json.loads(json.dumps(artifact.to_json()))).operators_since == artifact.operators_since
    device = find_device("local")
    probed = agents.RemoteAgent.probe

    def preflight_with(version: str) -> None:
        def probe(self: Any, runtimes: Any) -> Any:
            found = probed(self, runtimes)
            runtime = replace(found.runtimes["onnxruntime"], version=version)
            return replace(found, runtimes={**found.runtimes, "onnxruntime": runtime})

        monkeypatch.setattr(agents.RemoteAgent, "probe", probe)
        with connect_agent(device) as agent:
            preflight(agent, device, [artifact])

    preflight_with(has)
    with pytest.raises(BoardError) as refused:
        preflight_with(lacks)
    line = str(refused.value)
    assert f"uses GatherBlockQuantized, which onnxruntime has since {since}, and the board has {lacks}; " in line
    assert "\n" not in line


def test_an_operator_that_only_the_load_shows_ends_the_session_in_one_line(tmp_path: Path) -> None:
    import edgebench

    path = with_operator(tmp_path / "model.onnx", "GatherOfTheFuture")
    with pytest.raises(
        edgebench.EdgebenchError, match=r"lacks an operator that the model uses, com.microsoft:GatherOfThe"
    ) as ended:
        edgebench.profile(path, device="local", store=tmp_path / "store", overhead=False, cold=False)
    assert "\n" not in str(ended.value) and "a later onnxruntime on the board" in str(ended.value)
