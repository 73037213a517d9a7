"""Whole runs of the real agent: what is measured, and how a run ends, whatever happens to it."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import signal
import sys
import time
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebench_agent.board.sensors.load import process_seconds
from edgebench_agent.protocol import (
    HEARTBEAT,
    MAX_INT,
    RENEW,
    STOP,
    Done,
    Failed,
    First,
    Hello,
    Latencies,
    Loaded,
    Log,
    Outputs,
    Phase,
    Readings,
    WarmedUp,
    decode_message,
)
from edgebench_agent.run.journal import read_journal
from edgebench_agent.storage.journal_tail import has_writer
from tests.agent.agent_board import DEADLINE_S, SECOND, AgentBoard, children, of, wait_until
from tests.agent.conftest import make_hungry_model, make_model


def timed(messages: list[Any]) -> list[Latencies]:
    return [block for block in of(Latencies, messages) if not block.warmup]


def run_folder(board: AgentBoard, run_id: str) -> Path:
    return board.home / "runs" / run_id


def wait_for_latencies(board: AgentBoard, run_id: str) -> None:
    journal = run_folder(board, run_id) / "journal.ndjson"
    wait_until(lambda: b'"type":"latencies","warmup":false' in journal.read_bytes())


# --- what a run tells -------------------------------------------------------------------------------------------


def test_a_run_tells_its_story_in_order(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.model_spec(tiny_model, [5, 9, 3], min_count=50)
    messages = board.run(spec)

    hello = messages[0]
    assert isinstance(hello, Hello)
    assert (hello.run_id, hello.runtime, hello.agent_sha256) == (spec.run_id, "onnxruntime", board.agent_sha256)
    assert hello.runtime_version == pytest.importorskip("onnxruntime").__version__
    assert hello.libraries["numpy"] == np.__version__
    assert hello.board["cores"] == os.cpu_count()
    assert [phase.name for phase in of(Phase, messages)] == ["loading", "first", "warmup", "measuring", "finishing"]
    (loaded,) = of(Loaded, messages)
    assert loaded.providers == ["CPUExecutionProvider"]
    assert set(loaded.nodes) == {"CPUExecutionProvider"} and loaded.nodes["CPUExecutionProvider"] > 0
    assert loaded.inputs == ["input_ids", "attention_mask"]
    assert loaded.outputs == ["embedded", "same_attention_mask"]
    assert loaded.load_ns > 0
    assert loaded.notes == []
    assert of(First, messages)[0].first_ns > 0
    assert of(WarmedUp, messages)[0].count == sum(len(b.items) for b in of(Latencies, messages) if b.warmup)
    assert isinstance(messages[-1], Done)


def test_every_timed_inference_is_told_once_with_its_batch(board: AgentBoard, tiny_model: bytes) -> None:
    messages = board.run(board.model_spec(tiny_model, [5, 9, 3, 4, 4], batch=2, min_count=50))
    blocks = timed(messages)
    items = [item for block in blocks for item in block.items]
    starts = [start for block in blocks for start in block.start_ns]
    latencies = [latency for block in blocks for latency in block.latency_ns]
    assert items == [position % 3 for position in range(51)]  # to the end of the turn
    assert all(latency > 0 for latency in latencies)
    ends = [start + latency for start, latency in zip(starts, latencies, strict=True)]
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    done = messages[-1]
    assert (done.count, done.duration_ns) == (51, ends[-1] - starts[0])
    assert of(Log, messages) == []


def test_readings_share_the_clock_of_the_inferences(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.model_spec(tiny_model, min_duration_ns=SECOND)
    board.launch_well(spec)
    entries = board.journal(spec.run_id)
    start = timed([entry.message for entry in entries])[0].start_ns[0]
    phases = {entry.message.name: entry.t_ns for entry in entries if isinstance(entry.message, Phase)}
    assert phases["measuring"] <= start <= phases["finishing"]
    within = [
        entry.message.values
        for entry in entries
        if isinstance(entry.message, Readings) and phases["measuring"] < entry.t_ns < phases["finishing"]
    ]
    assert any(values.get("rss_bytes") for values in within)


def test_pss_is_read_only_while_the_measuring_process_waits(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.model_spec(tiny_model, min_duration_ns=SECOND)
    messages = board.run(spec)
    for position, message in enumerate(messages):
        if isinstance(message, Readings):
            at_border = isinstance(messages[position - 1], Phase)
            assert ("pss_bytes" in message.values) == at_border
            if at_border:
                assert 0 < message.values["pss_bytes"] <= message.values["peak_rss_bytes"]
    assert sum("pss_bytes" in message.values for message in of(Readings, messages)) == 5


def test_sensors_can_be_left_out(board: AgentBoard) -> None:
    assert of(Readings, board.run(board.spec(sensors=False))) == []


def test_the_loop_goes_on_until_both_minima_are_reached(board: AgentBoard, tiny_model: bytes) -> None:
    by_count = board.run(board.model_spec(tiny_model, min_count=321))
    assert by_count[-1].count == 321
    by_time = board.run(board.model_spec(tiny_model, min_count=1, min_duration_ns=SECOND // 2))
    assert by_time[-1].count > 1
    assert by_time[-1].duration_ns > SECOND // 4


def test_distinct_batches_run_equally_often_wherever_the_minima_are_reached(
    board: AgentBoard, tiny_model: bytes
) -> None:
    for minima in ({"min_count": 1, "min_duration_ns": SECOND // 4}, {"min_count": 701, "min_duration_ns": 0}):
        messages = board.run(board.model_spec(tiny_model, range(1, 51), **minima))
        runs = Counter(item for block in timed(messages) for item in block.items)
        assert set(runs) == set(range(50))
        assert len(set(runs.values())) == 1
        assert of(Log, messages) == []


def test_a_turn_that_the_longest_time_cut_is_told(board: AgentBoard) -> None:
    messages = board.run(board.spec([1] * 20_000, min_count=1, max_duration_ns=1))
    assert messages[-1].count < 20_000
    (log,) = of(Log, messages)
    assert f"of 20000 batches, the first {messages[-1].count} ran once more" in log.text


def test_the_longest_time_ends_the_loop_before_its_minima(board: AgentBoard, tiny_model: bytes) -> None:
    endless = {"min_count": 10_000_000, "min_duration_ns": 600 * SECOND}
    done = board.run(board.model_spec(tiny_model, max_duration_ns=SECOND // 2, **endless))[-1]
    assert isinstance(done, Done)
    assert 0 < done.count < 10_000_000
    assert board.run(board.model_spec(tiny_model, max_duration_ns=1, **endless))[-1].count >= 1


def test_the_null_runtime_is_measured_and_bounded_and_says_so(board: AgentBoard) -> None:
    spec = board.spec(min_count=1, min_duration_ns=25 * SECOND)
    messages = board.run(spec)
    (log,) = of(Log, messages)
    assert "after 262144 inferences" in log.text
    assert "before the 25 s" in log.text
    assert (run_folder(board, spec.run_id) / "journal.ndjson").stat().st_size < 16 << 20
    assert isinstance(messages[-1], Done)
    assert messages[-1].count == 1 << 18
    assert sum(len(block.items) for block in timed(messages)) == 1 << 18


def test_the_busy_runtime_works_on_as_many_cores_as_asked(board: AgentBoard) -> None:
    for threads in (1, 3, 0):  # 0: all
        messages = board.run(board.spec(runtime="busy", threads=threads, min_count=5, sensors=False))
        assert isinstance(messages[-1], Done)
        assert messages[-1].count == 5
        assert all(ns > 10_000 for block in timed(messages) for ns in block.latency_ns)


# --- outputs ----------------------------------------------------------------------------------------------------


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


# --- what is refused --------------------------------------------------------------------------------------------


def failed_of(board: AgentBoard, spec: Any) -> Failed:
    """Launch and follow a run that begins and then fails."""
    failed = board.run(spec)[-1]
    assert isinstance(failed, Failed)
    assert "\n" not in failed.message
    return failed


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


def test_a_second_run_is_refused_while_one_measures(board: AgentBoard, tiny_model: bytes) -> None:
    first = board.long_spec(tiny_model)
    board.launch_well(first)
    reply = board.launch(board.spec())
    assert reply["kind"] == "busy"
    assert first.run_id in reply["message"]


def test_the_next_run_follows_at_the_heels_of_the_last(board: AgentBoard) -> None:
    for _ in range(3):
        assert isinstance(board.run(board.spec(min_count=1))[-1], Done)


# --- files ------------------------------------------------------------------------------------------------------


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


def test_a_run_lets_go_of_its_blobs_when_it_ends(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.model_spec(tiny_model)
    board.run(spec)
    wait_until(lambda: board.blob(tiny_model).stat().st_nlink == 1)
    assert board.command("fetch", spec.run_id, "agent.log", 0).returncode == 0


def test_fetch_hands_out_only_a_runs_own_files(board: AgentBoard) -> None:
    spec = board.spec()
    board.run(spec)
    for name in ("spec.json", "../../lock", "/etc/passwd", "outputs.npy"):
        done = board.command("fetch", spec.run_id, name, 0)
        assert (done.returncode, done.stdout) == (1, b"")
        assert len(done.stderr.splitlines()) == 1
    for run_id in ("no-such-run", "..", "../.."):
        assert board.command("follow", run_id, 0).returncode == 1


def test_what_is_wrong_with_following_is_one_printable_line(board: AgentBoard) -> None:
    (run_folder(board, "run-1") / "journal.ndjson").mkdir(parents=True)  # it can't be read
    for arguments in (("run-1", 0), ("run-1", 0, "\x1b[2J\n" * 2000)):
        done = board.command("follow", *arguments)
        assert (done.returncode, done.stdout) == (1, b"")
        said = done.stderr.decode()
        assert said.endswith("\n")
        assert said[:-1].isprintable()
        assert 0 < len(said) <= 1001


# --- following --------------------------------------------------------------------------------------------------


def test_a_follower_picks_up_at_any_line_with_nothing_lost_or_doubled(board: AgentBoard) -> None:
    spec = board.spec()
    board.run(spec)
    whole = board.command("fetch", spec.run_id, "journal.ndjson", 0).stdout
    lines = whole.splitlines(keepends=True)
    for kept in (1, len(lines) // 2, len(lines)):
        offset = sum(len(line) for line in lines[:kept])
        follower = board.start("follow", spec.run_id, offset)
        assert follower.stdout is not None
        assert b"".join(lines[:kept]) + follower.stdout.read() == whole
        assert follower.wait(DEADLINE_S) == 0
        follower.communicate()
    torn = board.command("follow", spec.run_id, len(lines[0]) - 1)
    assert (torn.returncode, torn.stdout) == (1, b"")


def test_a_follower_that_loses_its_host_ends_and_the_run_goes_on(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model)
    board.launch_well(spec)
    read = b""
    for _ in range(3):
        follower = board.start("follow", spec.run_id, len(read))
        assert follower.stdout is not None
        lines = [follower.stdout.readline() for _ in range(4)]
        read += b"".join(line for line in lines if line != HEARTBEAT)
        follower.communicate(timeout=DEADLINE_S)  # closes its input
        assert follower.returncode == 0
    assert has_writer(run_folder(board, spec.run_id) / "journal.ndjson")
    seqs = [decode_message(line).seq for line in read.splitlines(keepends=True)]
    assert seqs == list(range(len(seqs)))


def test_a_follower_shows_that_it_lives_while_nothing_is_new(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model, sensors=False)
    supervisor = board.launch_well(spec)
    wait_for_latencies(board, spec.run_id)
    (measuring,) = children(supervisor)
    follower = board.start("follow", spec.run_id, 0)
    assert follower.stdout is not None
    os.kill(measuring, signal.SIGSTOP)
    try:
        while follower.stdout.readline() != HEARTBEAT:
            pass
    finally:
        os.kill(measuring, signal.SIGCONT)
    follower.communicate(timeout=DEADLINE_S)


def test_a_run_ends_cleanly_when_the_host_says_stop(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model)
    board.launch_well(spec)
    wait_for_latencies(board, spec.run_id)
    follower = board.start("follow", spec.run_id, 0)
    assert follower.stdin is not None
    assert follower.stdout is not None
    follower.stdin.write(RENEW + b"nonsense\n" + STOP)
    follower.stdin.flush()
    lines = [line for line in follower.stdout if line != HEARTBEAT]
    assert follower.wait(DEADLINE_S) == 0
    follower.communicate()
    messages = [decode_message(line).message for line in lines]
    assert messages[-1].kind == "interrupted"
    assert sum(len(block.items) for block in timed(messages)) > 0


# --- how a run ends ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("who", ["supervisor", "measuring process"])
def test_a_signal_ends_the_run_cleanly_and_keeps_what_was_measured(
    board: AgentBoard, tiny_model: bytes, number: signal.Signals, who: str
) -> None:
    spec = board.long_spec(tiny_model)
    supervisor = board.launch_well(spec)
    wait_for_latencies(board, spec.run_id)
    (measuring,) = children(supervisor)
    os.kill(supervisor if who == "supervisor" else measuring, number)
    messages = [entry.message for entry in board.journal(spec.run_id)]
    assert messages[-1].kind == "interrupted"
    assert sum(len(block.items) for block in timed(messages)) > 0
    with pytest.raises(ProcessLookupError):
        os.kill(measuring, 0)


def test_a_run_that_nobody_renews_ends_itself(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model, lease_ns=SECOND)
    board.launch_well(spec)
    assert board.journal(spec.run_id)[-1].message.kind == "lease_expired"


def test_a_run_that_is_renewed_outlives_its_lease(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model, lease_ns=4 * SECOND)
    board.launch_well(spec)
    follower = board.start("follow", spec.run_id, 0)
    assert follower.stdin is not None
    assert follower.stdout is not None
    first = last = decode_message(follower.stdout.readline()).t_ns
    while last - first < 6 * SECOND:
        follower.stdin.write(RENEW)
        follower.stdin.flush()
        line = follower.stdout.readline()
        if line != HEARTBEAT:
            entry = decode_message(line)
            assert not isinstance(entry.message, Failed)
            last = entry.t_ns
    follower.communicate(timeout=DEADLINE_S)


def test_a_measuring_process_that_is_killed_is_told(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model)
    supervisor = board.launch_well(spec)
    wait_for_latencies(board, spec.run_id)
    os.kill(children(supervisor)[0], signal.SIGKILL)
    failed = board.journal(spec.run_id)[-1].message
    assert failed.kind == "killed"
    assert "SIGKILL" in failed.message
    assert "measuring" in failed.message


def test_a_supervisor_that_is_killed_leaves_a_journal_without_an_ending(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model)
    supervisor = board.launch_well(spec)
    wait_for_latencies(board, spec.run_id)
    (measuring,) = children(supervisor)
    os.kill(supervisor, signal.SIGKILL)
    messages = [entry.message for entry in board.journal(spec.run_id)]
    assert not isinstance(messages[-1], Done | Failed)
    # The measuring process ends by itself, and with it the board's lock.
    wait_until(lambda: not Path(f"/proc/{measuring}").exists() or "Z" in Path(f"/proc/{measuring}/stat").read_text())
    assert isinstance(board.run(board.spec())[-1], Done)


def test_a_run_outlives_the_session_that_launched_it(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model)
    supervisor = board.launch_well(spec, start_new_session=True)
    assert os.getsid(supervisor) == supervisor


def change_archive(board: AgentBoard, name: str, before: bytes, after: bytes) -> None:
    """Let the board have an agent whose file `name` says `after` instead of `before`."""
    changed = board.archive.with_name("changed.pyz")
    with zipfile.ZipFile(board.archive) as old, zipfile.ZipFile(changed, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename == f"edgebench_agent/{name}":
                assert data.count(before) == 1
                data = data.replace(before, after)
            new.writestr(entry, data)
    board.archive = changed


def test_a_measuring_process_that_waits_for_ever_ends_its_run(board: AgentBoard, tiny_model: bytes) -> None:
    change_archive(board, "run/progress.py", b"IDLE_S = 600", b"IDLE_S = 2")
    spec = board.long_spec(tiny_model)
    supervisor = board.launch_well(spec)
    wait_for_latencies(board, spec.run_id)
    (measuring,) = children(supervisor)
    os.kill(measuring, signal.SIGSTOP)
    messages = [entry.message for entry in board.journal(spec.run_id)]
    assert messages[-1].kind == "stuck"
    assert "measuring, sent nothing and used no processor time for 2 s" in messages[-1].message
    assert sum(len(block.items) for block in timed(messages)) > 0
    with pytest.raises(ProcessLookupError):
        os.kill(measuring, 0)


def test_a_load_that_spins_for_ever_ends_its_run(board: AgentBoard, tiny_model: bytes, tmp_path: Path) -> None:
    change_archive(board, "run/progress.py", b"SILENT_S = 3600", b"SILENT_S = 2")
    endless = "\ndef spin(*_, **__):\n    while True: pass\nsys.modules[__name__].InferenceSession = spin\n"
    put_before(board, tmp_path, "onnxruntime", "", endless)
    failed = failed_of(board, board.model_spec(tiny_model, mode="infer", max_duration_ns=MAX_INT))
    assert failed.kind == "stuck"
    assert "loading, sent nothing for 2 s, though it used processor time" in failed.message


def test_slow_inferences_are_not_stuck_as_long_as_they_work(
    board: AgentBoard, tiny_model: bytes, tmp_path: Path
) -> None:
    change_archive(board, "run/progress.py", b"IDLE_S = 600", b"IDLE_S = 2")
    slow = (
        "\nimport time\nreal = sys.modules[__name__].InferenceSession.run\n"
        "def run(*given):\n    ends = time.monotonic() + 6\n    while time.monotonic() < ends: pass\n"
        "    return real(*given)\nsys.modules[__name__].InferenceSession.run = run\n"
    )
    put_before(board, tmp_path, "onnxruntime", "", slow)
    assert isinstance(board.run(board.model_spec(tiny_model, mode="infer", max_duration_ns=MAX_INT))[-1], Done)


def test_the_supervisor_rests_while_the_runtime_is_imported(
    board: AgentBoard, tiny_model: bytes, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    put_before(
        board, tmp_path, "onnxruntime", f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.1)"
    )
    launcher = board.start("launch")
    try:
        assert launcher.stdin is not None
        launcher.stdin.write(board.model_spec(tiny_model).to_json())
        launcher.stdin.flush()
        wait_until(lambda: children(launcher.pid) and children(children(launcher.pid)[0]))
        (supervisor,) = children(launcher.pid)
        stat = Path(f"/proc/{supervisor}/stat")
        time.sleep(1)  # it may still be starting
        before, began = process_seconds(stat), time.monotonic()
        time.sleep(2)
        used, passed = process_seconds(stat), time.monotonic() - began
        assert before is not None
        assert used is not None
        assert used - before < passed / 4
    finally:
        go.touch()
        launcher.communicate(timeout=DEADLINE_S)


def test_a_process_that_the_runtime_leaves_behind_does_not_hold_up_the_end(
    board: AgentBoard, tiny_model: bytes, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    linger = f"while not os.path.exists({str(gone)!r}): time.sleep(0.1)"
    leave = f"import os, time\nif not os.fork():\n    {linger}\n    os._exit(0)"
    put_before(board, tmp_path, "onnxruntime", leave)
    try:
        assert isinstance(board.run(board.model_spec(tiny_model))[-1], Done)
    finally:
        gone.touch()


# --- what gets in the way ---------------------------------------------------------------------------------------

_REAL_PACKAGE = """
import importlib, sys
sys.path = [entry for entry in sys.path if entry != {folder!r}]
del sys.modules[__name__]
sys.modules[__name__] = importlib.import_module(__name__)
"""


def put_before(board: AgentBoard, folder: Path, name: str, code: str, after: str = "") -> None:
    """Let `code` run on the board when `name` is imported, then the real package, then the code `after`."""
    package = folder / "before" / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code + _REAL_PACKAGE.format(folder=str(package.parent)) + after)
    board.environment["PYTHONPATH"] = str(package.parent)


def test_what_a_native_library_prints_goes_to_the_log(board: AgentBoard, tiny_model: bytes, tmp_path: Path) -> None:
    noise = "import ctypes; c = ctypes.CDLL(None); c.puts(b'noise from below'); c.fflush(None); print('more')"
    put_before(board, tmp_path, "onnxruntime", noise)
    assert board.reply("probe", "--runtime", "onnxruntime")["runtimes"]["onnxruntime"]["ok"]
    spec = board.model_spec(tiny_model)
    assert isinstance(board.run(spec)[-1], Done)
    log = board.command("fetch", spec.run_id, "agent.log", 0).stdout
    assert b"noise from below" in log
    assert b"more" in log


def test_a_runtime_that_dies_of_an_illegal_instruction_is_a_finding(
    board: AgentBoard, tiny_model: bytes, tmp_path: Path
) -> None:
    put_before(board, tmp_path, "onnxruntime", "import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    found = board.reply("probe", "--runtime", "onnxruntime", "--runtime", "null")["runtimes"]
    assert not found["onnxruntime"]["ok"]
    assert "SIGILL" in found["onnxruntime"]["error"]
    assert f"{sys.executable} -m pip install" in found["onnxruntime"]["error"]
    assert found["null"]["ok"]
    reply = board.launch(board.model_spec(tiny_model))
    assert reply["kind"] == "runtime_broken"
    assert "SIGILL" in reply["message"]


def test_a_full_disk_ends_a_run_with_what_fits(board: AgentBoard, tiny_model: bytes) -> None:
    def fill_up_early() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    spec = board.long_spec(tiny_model)
    board.launch_well(spec, preexec_fn=fill_up_early)
    journal = run_folder(board, spec.run_id) / "journal.ndjson"
    wait_until(lambda: not has_writer(journal))
    entries = read_journal(journal)
    assert journal.read_bytes().endswith(b"\n")
    assert isinstance(entries[0].message, Hello)
    assert entries[-1].message.kind == "out_of_disk"


def test_memory_that_the_runtime_cannot_get_is_told(board: AgentBoard) -> None:
    failed = failed_of(board, board.model_spec(make_hungry_model(1 << 42)))
    assert failed.kind == "out_of_memory"


def test_a_measuring_process_that_the_kernel_kills_for_memory_is_told(board: AgentBoard) -> None:
    group = Path(f"/sys/fs/cgroup/memory/edgebench-test-{os.getpid()}")
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(300 << 20))
    except OSError as error:
        pytest.skip(f"needs a memory cgroup (v1) that this user may make: {error}")

    def join() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    spec = board.model_spec(make_hungry_model(1 << 24))  # 44 bytes for each, with these ids
    try:
        board.launch_well(spec, preexec_fn=join)
        failed = board.journal(spec.run_id)[-1].message
        assert isinstance(failed, Failed)
        assert failed.kind == "out_of_memory"
        assert "first" in failed.message
    finally:
        board.end_runs()
        wait_until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()
