"""Several models in one process, one inference each in turn: what the agent does and tells."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from edgebench_agent.protocol import Done, Failed, First, Latencies, Loaded, ProtocolError, RunSpec, WarmedUp
from tests.agent.agent_board import SECOND, AgentBoard, of
from tests.agent.conftest import make_model


def beside(board: AgentBoard, model: bytes, lengths: list[int]) -> dict[str, Any]:
    """Return a model that a run alternates with; its inputs are on the board."""
    inputs = b"".join((token % 50 + 4).to_bytes(4, "little") for token in range(sum(lengths)))
    return {
        "files": [{"name": "model.onnx", "sha256": board.push(model)}],
        "inputs_sha256": board.push(inputs),
        "lengths": lengths,
        "pad_token_id": 1,
    }


@pytest.fixture
def other_model() -> bytes:
    return make_model(["input_ids"])


def timed(messages: list[Any], model: int) -> list[tuple[int, int, int]]:
    """Return (start, latency, item) of each timed inference of a model."""
    blocks = [block for block in of(Latencies, messages) if not block.warmup and block.model == model]
    return [each for block in blocks for each in zip(block.start_ns, block.latency_ns, block.items, strict=True)]


@pytest.mark.slow
def test_each_batch_is_run_by_every_model_before_the_next(
    board: AgentBoard, tiny_model: bytes, other_model: bytes
) -> None:
    spec = board.model_spec(tiny_model, [5, 9, 3], min_count=40)
    messages = board.run(replace(spec, beside=[beside(board, other_model, [6, 2, 8])]))
    one, other = timed(messages, 0), timed(messages, 1)
    assert [item for _, _, item in one] == [item for _, _, item in other] == [at % 3 for at in range(42)]
    in_order = [each for pair in zip(one, other, strict=True) for each in pair]
    ends = [start + latency for start, latency, _ in in_order]
    assert all(end <= start for end, (start, *_) in zip(ends, in_order[1:], strict=False))
    assert messages[-1] == Done(42, ends[-1] - in_order[0][0])


def test_each_model_is_loaded_and_warmed_up_and_says_so(
    board: AgentBoard, tiny_model: bytes, other_model: bytes
) -> None:
    spec = board.model_spec(tiny_model, [5, 9])
    messages = board.run(replace(spec, beside=[beside(board, other_model, [6, 2])] * 2))
    assert [each.model for each in of(Loaded, messages)] == [0, 1, 2]
    assert [each.inputs for each in of(Loaded, messages)] == [["input_ids", "attention_mask"], *[["input_ids"]] * 2]
    assert [each.model for each in of(First, messages)] == [0, 1, 2]
    for warm in of(WarmedUp, messages):
        assert warm.count == sum(len(b.items) for b in of(Latencies, messages) if b.warmup and b.model == warm.model)


@pytest.mark.slow
def test_durations_are_of_each_models_share(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.model_spec(tiny_model, min_count=1, min_duration_ns=SECOND // 2)
    done = board.run(replace(spec, beside=[beside(board, tiny_model, [8])]))[-1]
    assert done.duration_ns > 0.9 * SECOND


def test_their_inferences_fill_one_bounded_journal_together(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.model_spec(tiny_model, min_count=1, min_duration_ns=20 * SECOND, most_count=300)
    messages = board.run(replace(spec, beside=[beside(board, tiny_model, [8])] * 2))
    assert messages[-1].count == 100
    assert sum(len(block.items) for block in of(Latencies, messages) if not block.warmup) == 300


def test_their_folders_are_gone_afterwards(board: AgentBoard, tiny_model: bytes, other_model: bytes) -> None:
    spec = board.model_spec(tiny_model)
    board.run(replace(spec, beside=[beside(board, other_model, [8])]))
    left = {path.name for path in (board.home / "runs" / spec.run_id).iterdir()}
    assert not [name for name in left if name.startswith(("model", "inputs"))]


def test_a_model_that_can_not_be_read_ends_the_run_whichever_it_is(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.model_spec(tiny_model)
    failed = board.run(replace(spec, beside=[beside(board, b"not a model", [8])]))[-1]
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.model) == ("model_rejected", 1)


def test_a_model_that_is_not_there_is_said_at_once(board: AgentBoard, tiny_model: bytes) -> None:
    missing = beside(board, tiny_model, [8]) | {"files": [{"name": "model.onnx", "sha256": "ab" * 32}]}
    reply = board.launch(replace(board.model_spec(tiny_model), beside=[missing]))
    assert (reply["ok"], reply["kind"]) == (False, "not_found")
    unknown = beside(board, tiny_model, [8]) | {"inputs_sha256": hashlib.sha256(b"nothing").hexdigest()}
    assert board.launch(replace(board.model_spec(tiny_model), beside=[unknown]))["kind"] == "not_found"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"beside": [{"lengths": [8, 8]}]}, "an alternate model has 2 inputs, the run has 1"),
        ({"beside": [{}], "mode": "infer"}, "mode measure only"),
        ({"beside": [{}], "scenario": "server", "rate_mhz": 1000}, "not as a server"),
        ({"beside": [{"pad_token_id": -1}]}, "out of bounds"),
        ({"beside": [{"files": [{"name": "../model.onnx", "sha256": "ab" * 32}]}]}, "out of bounds"),
        ({"beside": [{}] * 16}, "out of bounds"),
    ],
)
def test_what_can_not_alternate_is_refused(
    changes: dict[str, Any], problem: str, board: AgentBoard, tiny_model: bytes
) -> None:
    plain = beside(board, tiny_model, [8])
    spec = replace(board.model_spec(tiny_model), **changes | {"beside": [plain | each for each in changes["beside"]]})
    with pytest.raises(ProtocolError, match=problem):
        RunSpec.from_json(spec.to_json())
    assert board.launch(spec)["kind"] == "bad_request"
