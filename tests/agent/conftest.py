"""The agent as it is shipped, on a board that is this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.agent_board import AgentBoard


@pytest.fixture
def board(tmp_path: Path) -> Iterator[AgentBoard]:
    """A board with an empty home; what runs there is ended afterwards."""
    board = AgentBoard(tmp_path)
    yield board
    board.end_runs()
    (board.home / "power.json").unlink(missing_ok=True)  # which ends the guard of clocks that a test has set


@pytest.fixture(scope="session")
def tiny_model() -> bytes:
    """An ONNX model of XLM-R's inputs: `embedded`, shape (batch, tokens, 4), is 0 where the mask is."""
    return make_model(["input_ids", "attention_mask"])


def make_model(inputs: list[str], *, batch: int | str = "batch", tokens: int | str = "tokens", kind: int = 7) -> bytes:
    """Return a model that takes these inputs (of element type `kind`, 7 is int64) and gives one output for each.

    `input_ids` become embeddings of four numbers; every other input comes back as it is.
    """
    onnx = pytest.importorskip("onnx")
    np = pytest.importorskip("numpy")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    table = np.arange(400, dtype=np.float32).reshape(100, 4)
    nodes, outputs = [], []
    for name in inputs:
        if name == "input_ids":
            nodes.append(helper.make_node("Gather", ["table", name], ["embedded"]))
            outputs.append(helper.make_tensor_value_info("embedded", onnx.TensorProto.FLOAT, [batch, tokens, 4]))
        else:
            nodes.append(helper.make_node("Identity", [name], [f"same_{name}"]))
            outputs.append(helper.make_tensor_value_info(f"same_{name}", kind, [batch, tokens]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, kind, [batch, tokens]) for name in inputs],
        outputs,
        [numpy_helper.from_array(table, "table")] if "input_ids" in inputs else [],
    )
    # Old enough a format for every onnxruntime that the oldest Python can have.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def make_hungry_model(numbers: int) -> bytes:
    """Return a model that makes an array of so many numbers (float32) for every unit of its largest token id."""
    onnx = pytest.importorskip("onnx")
    np = pytest.importorskip("numpy")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes = [
        helper.make_node("ReduceMax", ["input_ids"], ["largest"], keepdims=0),
        helper.make_node("Reshape", ["largest", "one"], ["flat"]),
        helper.make_node("Mul", ["flat", "numbers"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
    ]
    graph = helper.make_graph(
        nodes,
        "hungry",
        [helper.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, ["batch", "tokens"])],
        [helper.make_tensor_value_info("zeros", onnx.TensorProto.FLOAT, ["size"])],
        [numpy_helper.from_array(np.array([value]), name) for name, value in (("one", 1), ("numbers", numbers))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data
