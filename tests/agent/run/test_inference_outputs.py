"""Runs that keep the outputs of a model, and models that are refused."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np

from edgebench_agent.protocol import (
    Done,
    Latencies,
    Loaded,
    Outputs,
)
from tests.agent.agent_board import AgentBoard, of
from tests.agent.conftest import make_model
from tests.agent.runs import failed_of, timed


def outputs_of(board: AgentBoard, run_id: str, messages: list[Any]) -> list[Any]:
    """Fetch a run's outputs in two parts; return the arrays in the order of the file."""
    (told,) = of(Outputs, messages)
    whole = board.command("fetch", run_id, "outputs.npy", 0)
    rest = board.command("fetch", run_id, "outputs.npy", told.bytes - 10)
    assert whole.returncode == rest.returncode == 0
    assert whole.stdout[-10:] == rest.stdout
    assert (len(whole.stdout), hashlib.sha256(whole.stdout).hexdigest()) == (told.bytes, told.sha256)
    file = io.BytesIO(whole.stdout)
    arrays = [np.load(file, allow_pickle=False) for _ in range(told.count * len(told.names))]
    assert file.read() == b""
    return arrays


def test_inference_returns_every_output_of_every_batch_in_order(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.model_spec(tiny_model, [5, 9, 3], batch=2, mode="infer")
    messages = board.run(spec)
    embedded, mask, embedded_last, mask_last = outputs_of(board, spec.run_id, messages)
    tokens = np.arange(17) % 50 + 4
    table = np.arange(400, dtype=np.float32).reshape(100, 4)
    assert embedded.shape == (2, 9, 4)
    assert np.array_equal(embedded[0, :5], table[tokens[:5]])
    assert np.array_equal(embedded[0, 5:], table[[1] * 4])  # padding
    assert np.array_equal(embedded[1], table[tokens[5:14]])
    assert mask.tolist() == [[1] * 5 + [0] * 4, [1] * 9]
    assert np.array_equal(embedded_last, table[tokens[None, 14:]])
    assert mask_last.tolist() == [[1, 1, 1]]
    assert sum(len(block.items) for block in timed(messages)) == 2
    assert isinstance(messages[-1], Done)


def test_states_may_come_as_their_mean_over_the_real_tokens(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.model_spec(tiny_model, [5, 9, 3], batch=2, mode="infer", reduce="mean")
    means, mask, mean_last, _ = outputs_of(board, spec.run_id, board.run(spec))
    tokens = np.arange(17) % 50 + 4
    table = np.arange(400, dtype=np.float32).reshape(100, 4)
    assert (means.shape, means.dtype, mask.shape) == ((2, 4), np.float32, (2, 9))
    expected = [table[tokens[:5]].mean(axis=0), table[tokens[5:14]].mean(axis=0), table[tokens[14:]].mean(axis=0)]
    np.testing.assert_allclose([*means, *mean_last], expected, rtol=1e-6)


def test_each_shape_may_run_once_before_inferences_count(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.model_spec(tiny_model, [5, 9, 5, 5], mode="infer", warm_shapes=True)
    messages = board.run(spec)
    blocks = of(Latencies, messages)
    assert sorted(at for block in blocks if block.warmup for at in block.items) in ([0, 1], [1, 2], [1, 3])
    assert [at for block in blocks if not block.warmup for at in block.items] == [0, 1, 2, 3]
    assert messages[-1].count == 4
    assert len(outputs_of(board, spec.run_id, messages)) == 8


def test_all_inputs_that_encoders_ask_for_are_made_in_the_type_they_want(board: AgentBoard) -> None:
    names = ["input_ids", "attention_mask", "token_type_ids", "position_ids"]
    spec = board.model_spec(make_model(names, kind=6), [2, 4], batch=2, mode="infer")  # 6 is int32
    _, mask, types, positions = outputs_of(board, spec.run_id, board.run(spec))
    assert mask.dtype == types.dtype == positions.dtype == np.int32
    assert types.tolist() == [[0] * 4] * 2
    # As XLM-R counts them: real tokens from the padding's id + 1 on.
    assert positions.tolist() == [[2, 3, 1, 1], [2, 3, 4, 5]]


def test_a_model_of_fixed_shape_gets_it_and_its_filling_is_dropped(board: AgentBoard) -> None:
    model = make_model(["input_ids", "attention_mask"], batch=2, tokens=6)
    spec = board.model_spec(model, [3, 4, 5], batch=2, mode="infer")
    arrays = outputs_of(board, spec.run_id, board.run(spec))
    assert [array.shape for array in arrays] == [(2, 6, 4), (2, 6), (1, 6, 4), (1, 6)]
    assert arrays[3].tolist() == [[1, 1, 1, 1, 1, 0]]


def test_a_model_that_wants_other_inputs_is_told_by_name(board: AgentBoard) -> None:
    failed = failed_of(board, board.model_spec(make_model(["input_ids", "pixel_values"])))
    assert failed.kind == "inputs_rejected"
    assert "pixel_values" in failed.message


def test_tokens_outside_the_vocabulary_are_rejected_inputs(board: AgentBoard, tiny_model: bytes) -> None:
    inputs = board.push((5000).to_bytes(4, "little"))
    failed = failed_of(board, board.model_spec(tiny_model, [1], inputs_sha256=inputs))
    assert failed.kind == "inputs_rejected"
    assert "Traceback" in failed.traceback


def test_an_input_longer_than_the_model_is_rejected(board: AgentBoard) -> None:
    model = make_model(["input_ids", "attention_mask"], tokens=4)
    failed = failed_of(board, board.model_spec(model, [9]))
    assert (failed.kind, "4 tokens" in failed.message, "9" in failed.message) == ("inputs_rejected", True, True)


def test_a_file_that_is_no_model_is_rejected(board: AgentBoard) -> None:
    failed = failed_of(board, board.model_spec(b"this is no model"))
    assert failed.kind == "model_rejected"


def test_a_provider_that_is_not_there_is_not_replaced_in_silence(board: AgentBoard, tiny_model: bytes) -> None:
    asked = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    (loaded,) = of(Loaded, board.run(board.model_spec(tiny_model, providers=asked)))
    assert loaded.providers == ["CPUExecutionProvider"]
    assert loaded.notes == ["asked for CUDAExecutionProvider, runs on CPUExecutionProvider"]
    assert sum(loaded.nodes.values()) > 0
    assert set(loaded.nodes) == {"CPUExecutionProvider"}
