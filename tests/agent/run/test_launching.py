"""Launching a run: what is refused, what is sent again, which files it uses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from edgebench_agent.protocol import (
    Done,
    Hello,
)
from tests.agent.agent_board import AgentBoard, of, wait_until
from tests.agent.runs import put_before, run_folder


def test_launch_refuses_what_is_not_on_the_board(board: AgentBoard, tiny_model: bytes) -> None:
    missing = "ab" * 32
    for change in ({"files": [{"name": "model.onnx", "sha256": missing}]}, {"inputs_sha256": missing}):
        reply = board.launch(board.model_spec(tiny_model, **change))
        assert reply["kind"] == "not_found"
        assert "push" in reply["message"]
    assert list((board.home / "runs").iterdir()) == []


def test_launch_refuses_a_model_larger_than_the_free_memory(board: AgentBoard, tmp_path: Path) -> None:
    model = tmp_path / "huge.onnx"
    with model.open("wb") as file:
        file.truncate(1 << 43)  # sparse: it takes no room on the disk
    reply = board.launch(board.spec(files=[{"name": "huge.onnx", "sha256": "ab" * 32, "path": str(model)}]))
    assert reply["kind"] == "out_of_memory"
    assert str(1 << 43) in reply["message"]


@pytest.mark.parametrize("line", [b"", b"not json\n", b"{}\n", b'{"protocol": 99}\n'])
def test_launch_refuses_what_is_no_specification(board: AgentBoard, line: bytes) -> None:
    assert board.reply("launch", input=line)["kind"] == "bad_request"


def test_launch_refuses_inputs_that_their_lengths_do_not_fit(board: AgentBoard) -> None:
    assert board.launch(board.spec([8], inputs_sha256=board.push(bytes(12))))["kind"] == "bad_request"


def test_a_run_has_its_name_for_itself(board: AgentBoard) -> None:
    spec = board.spec()
    board.run(spec)
    assert board.launch(replace(spec, min_count=51))["kind"] == "bad_request"


@pytest.mark.slow
def test_a_launch_sent_again_finds_its_run_while_it_goes_on_and_after(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model)
    told = board.launch(spec)
    assert board.launch(spec) == told
    board.end_runs()
    messages = board.journal(spec.run_id)
    assert board.launch(spec) == told
    other = board.long_spec(tiny_model)
    board.launch_well(other)
    assert board.launch(spec) == told
    assert board.journal(spec.run_id) == messages


def test_launches_of_one_run_at_the_same_time_start_it_once(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.model_spec(tiny_model)
    with ThreadPoolExecutor() as pool:
        first, *others = pool.map(lambda _: board.launch(spec), range(4))
    assert first["ok"], first
    assert others == [first] * 3
    assert len(of(Hello, [entry.message for entry in board.journal(spec.run_id)])) == 1


def test_a_launch_sent_again_fails_as_it_did_before(board: AgentBoard, tiny_model: bytes, tmp_path: Path) -> None:
    put_before(board, tmp_path, "onnxruntime", "raise OSError('no such board')")
    spec = board.model_spec(tiny_model)
    told = board.launch(spec)
    assert told["kind"] == "runtime_broken"
    assert board.launch(spec) == told


def test_a_launch_that_died_before_its_run_began_can_be_sent_again(board: AgentBoard) -> None:
    spec = board.spec()
    folder = run_folder(board, spec.run_id)
    folder.mkdir(parents=True)
    (folder / "model").mkdir()
    (folder / "spec.part").write_bytes(b"{")
    assert isinstance(board.run(spec)[-1], Done)


def test_an_unknown_runtime_is_refused_with_the_known_ones(board: AgentBoard) -> None:
    reply = board.launch(board.spec(runtime="tensorflow"))
    assert reply["kind"] == "bad_request"
    assert "onnxruntime" in reply["message"]


@pytest.mark.slow
def test_a_second_run_is_refused_while_one_measures(board: AgentBoard, tiny_model: bytes) -> None:
    first = board.long_spec(tiny_model)
    board.launch_well(first)
    reply = board.launch(board.spec())
    assert reply["kind"] == "busy"
    assert first.run_id in reply["message"]


@pytest.mark.slow
def test_the_next_run_follows_at_the_heels_of_the_last(board: AgentBoard) -> None:
    for _ in range(3):
        assert isinstance(board.run(board.spec(min_count=1))[-1], Done)


def test_files_of_this_machine_are_used_where_they_lie(board: AgentBoard, tiny_model: bytes, tmp_path: Path) -> None:
    model = tmp_path / "a model.onnx"
    model.write_bytes(tiny_model)
    files = [{"name": "a model.onnx", "sha256": "ab" * 32, "path": str(model)}]
    spec = board.spec([8], runtime="onnxruntime", files=files)
    assert isinstance(board.run(spec)[-1], Done)


def test_a_model_finds_its_other_files_by_name(board: AgentBoard, tiny_model: bytes) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(tiny_model)
    (table,) = model.graph.initializer
    data = table.raw_data
    onnx.external_data_helper.set_external_data(table, location="model.onnx.data")
    table.ClearField("raw_data")
    table.data_location = onnx.TensorProto.EXTERNAL
    files = [
        {"name": "model.onnx", "sha256": board.push(model.SerializeToString())},
        {"name": "model.onnx.data", "sha256": board.push(data)},
    ]
    assert isinstance(board.run(board.spec(runtime="onnxruntime", files=files))[-1], Done)


@pytest.mark.slow
def test_a_run_lets_go_of_its_blobs_when_it_ends(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.model_spec(tiny_model)
    board.run(spec)
    wait_until(lambda: board.blob(tiny_model).stat().st_nlink == 1)
    assert board.command("fetch", spec.run_id, "agent.log", 0).returncode == 0
