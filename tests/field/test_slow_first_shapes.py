"""Runtimes that prepare themselves for each new shape, as TensorRT does for 40 s, and libraries that do not load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgebench_agent.protocol import Done, Log, WarmedUp
from edgebench_agent.runtimes.registry import describe
from tests.agent.agent_board import AgentBoard, of
from tests.agent.runs import put_before, timed

#: Sleeps at the first inference of each shape.
SLOW = """
import time
from onnxruntime import InferenceSession
class Slow(InferenceSession):
    seen = set()
    def run(self, names, inputs, *more):
        shape = inputs["input_ids"].shape
        if shape not in self.seen:
            self.seen.add(shape)
            time.sleep(0.4)
        return super().run(names, inputs, *more)
import sys
sys.modules["onnxruntime"].InferenceSession = Slow
"""


@pytest.fixture
def board(tmp_path: Path) -> Any:
    board = AgentBoard(tmp_path)
    yield board
    board.end_runs()


def test_warm_up_covers_each_shape_however_long_its_first_inference_takes(
    board: AgentBoard, tmp_path: Path, tiny_model: bytes
) -> None:
    """The first inferences of the four shapes take longer than a run may: two seconds."""
    put_before(board, tmp_path, "onnxruntime", "", SLOW)
    spec = board.model_spec(tiny_model, [4, 8, 12, 16], max_duration_ns=600_000_000, warmup_ns=0, min_count=8)
    messages = board.run(spec)
    assert isinstance(messages[-1], Done)
    assert of(WarmedUp, messages)
    assert max(latency for block in timed(messages) for latency in block.latency_ns) < 400_000_000


def test_a_run_that_its_longest_time_ends_names_the_option(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.model_spec(tiny_model, [4, 8, 12, 16], max_duration_ns=1, min_count=10_000, warmup_ns=0)
    (said,) = [log.text for log in of(Log, board.run(spec)) if "the longest time" in log.text]
    assert said.endswith("raise `max_duration_s`")


def test_runs_that_ended_too_early_name_the_options_below_the_table() -> None:
    from edgebench.analysis import summarise
    from edgebench.cli.measuring import _advice
    from tests.sample_runs import MS, run, subject, trace

    of = subject()
    early = "fewer than 100 inferences in 60 s; allow a longer run, or fewer inferences"
    runs = [run(of, number, trace([10 * MS] * 20), reasons=(early,)) for number in (1, 2)]
    assert list(_advice([summarise(of, runs)])) == [
        "runs that ended too early: raise --max-duration, or lower --min-count"
    ]


@pytest.mark.parametrize("reason", ["Invalid argument", "Permission denied"])
def test_an_executable_stack_is_explained(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    from edgebench_agent.protocol.failure import Failure
    from edgebench_agent.runtimes import onnxruntime

    def fail() -> None:
        raise ImportError(f"libonnxruntime.so.1.17: cannot enable executable stack as shared object requires: {reason}")

    monkeypatch.setattr(onnxruntime, "describe", fail)
    with pytest.raises(Failure) as caught:
        describe("onnxruntime")
    assert caught.value.kind == "runtime_broken"
    for words in ("libonnxruntime.so.1.17 was built to need an executable stack", "glibc 2.41", "patchelf"):
        assert words in str(caught.value)
