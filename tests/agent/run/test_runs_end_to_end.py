"""Complete runs of the real agent: what the journal of a measurement holds."""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import pytest

from edgebench_agent.protocol import (
    Done,
    First,
    Hello,
    Latencies,
    Loaded,
    Log,
    Phase,
    Readings,
    WarmedUp,
)
from tests.agent.agent_board import SECOND, AgentBoard, of
from tests.agent.runs import run_folder, timed


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_loop_goes_on_until_both_minima_are_reached(board: AgentBoard, tiny_model: bytes) -> None:
    by_count = board.run(board.model_spec(tiny_model, min_count=321))
    assert by_count[-1].count == 321
    by_time = board.run(board.model_spec(tiny_model, min_count=1, min_duration_ns=SECOND // 2))
    assert by_time[-1].count > 1
    assert by_time[-1].duration_ns > SECOND // 4


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_busy_runtime_works_on_as_many_cores_as_asked(board: AgentBoard) -> None:
    for threads in (1, 3, 0):  # 0: all
        messages = board.run(board.spec(runtime="busy", threads=threads, min_count=5, sensors=False))
        assert isinstance(messages[-1], Done)
        assert messages[-1].count == 5
        assert all(ns > 10_000 for block in timed(messages) for ns in block.latency_ns)
