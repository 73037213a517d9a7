"""Overhead of edgebench itself: figures from plain numbers, and a measurement with a real agent on this machine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgebench.analysis import PairedComparison, summarise
from edgebench.analysis.comparison import compare
from edgebench.board import RemoteAgent, connect_agent
from edgebench.device import find_device
from edgebench.errors import AgentError
from edgebench.events import Event, LogMessage
from edgebench.measure.probes.overhead import measure_overhead, overhead_of, with_sensors
from edgebench.measure.profiling import profile
from edgebench.reporting import comparison_parts
from edgebench.reporting.overhead import cost_lines, sensors_text
from edgebench.run import Overhead, Run
from edgebench.workload import RunPlan
from tests.agent.agent_board import AgentBoard
from tests.sample_runs import MS, run, subject, trace

COST = Overhead(
    per_inference=0.06154,
    per_inference_ci=(0.05, 0.07),
    loop_per_inference=0.25,
    loop_per_inference_ci=(0.24, 0.26),
    sensors_ratio=1.001,
    sensors_ratio_ci=(0.996, 1.006),
)


def one(latencies_ns: list[int], *, pause_ns: int = 0) -> Run:
    return run(subject(), 0, trace(latencies_ns, pause_ns=pause_ns))


def test_the_cost_is_the_typical_null_latency_with_students_interval_over_runs() -> None:
    found = overhead_of([one([ns] * 8, pause_ns=300) for ns in (100, 200, 400)])
    # Logs ln 2 apart: their standard deviation is ln 2, Student's quantile for 2 degrees of freedom 4.3026527.
    half = 4.3026527 * math.log(2) / math.sqrt(3)
    assert found.per_inference == pytest.approx(0.2)
    assert found.per_inference_ci == pytest.approx((0.2 * math.exp(-half), 0.2 * math.exp(half)))
    assert found.loop_per_inference == pytest.approx((0.4 * 0.5 * 0.7) ** (1 / 3))
    assert found.sensors_ratio is None


def test_the_cost_is_finer_than_a_tick_and_leaves_out_what_the_board_did_meanwhile() -> None:
    ticks = [100, 120] * 48 + [5 * MS] * 4
    assert overhead_of([one(ticks), one(ticks)]).per_inference == pytest.approx((23 * 100 + 27 * 120) / 50 / 1000)


def test_a_clock_that_sees_no_time_pass_is_an_error() -> None:
    with pytest.raises(AgentError, match="too coarse"):
        overhead_of([one([0, 0, 0, 50], pause_ns=10)] * 2)


def test_the_sensors_ratio_is_that_of_mean_latencies_with_welchs_interval() -> None:
    off = [one([ms * MS] * 4) for ms in (10, 20, 40)]
    on = [one([ms * MS] * 4) for ms in (20, 40, 80)]
    found = with_sensors(COST, off, on)
    half = 2.7764451 * math.log(2) * math.sqrt(2 / 3)  # Student's quantile for 4 degrees of freedom
    assert found.sensors_ratio == pytest.approx(2)
    assert found.sensors_ratio_ci == pytest.approx((2 * math.exp(-half), 2 * math.exp(half)))
    assert found.per_inference == COST.per_inference


def test_readings_that_hit_few_inferences_are_seen() -> None:
    on = [one([10 * MS] * 19 + [30 * MS])] * 2
    assert with_sensors(COST, [one([10 * MS] * 20)] * 2, on).sensors_ratio == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("ratio", "interval", "said"),
    [
        (1.001, (0.996, 1.006), "no effect seen: ratio 1.001 (95 % 0.996 to 1.006)"),
        (1.021, (1.011, 1.031), "take 2.1 % longer while they are read: ratio 1.021"),
        (0.985, (0.98, 0.99), "take 1.5 % less while they are read"),
        (1.01, (0.96, 1.06), "not certain, because the runs differ too much: ratio 1.010"),
    ],
)
def test_what_is_said_of_the_sensors_depends_on_the_interval(
    ratio: float, interval: tuple[float, float], said: str
) -> None:
    overhead = Overhead(
        per_inference=0.1,
        per_inference_ci=None,
        loop_per_inference=0.2,
        loop_per_inference_ci=None,
        sensors_ratio=ratio,
        sensors_ratio_ci=interval,
    )
    assert said in sensors_text(overhead)


def test_a_report_states_the_overhead_once_a_board() -> None:
    rows = [summarise(replace(subject(number), overhead_us=COST), []) for number in range(2)]
    assert cost_lines([*rows, summarise(subject(2, device="jetson"), [])]) == [
        "overhead of edgebench on pi4: 0.0615 µs (95 % 0.0500 to 0.0700) in each latency; "
        "0.250 µs (95 % 0.240 to 0.260) from one inference to the next",
        "overhead of its sensors on pi4: no effect seen: ratio 1.001 (95 % 0.996 to 1.006)",
    ]


def test_a_comparison_states_the_overhead_too() -> None:
    of = [replace(subject(number), overhead_us=COST) for number in range(2)]
    sides = [summarise(each, [run(each, at, trace([10 * MS + at] * 9)) for at in range(2)]) for each in of]
    compared = compare(*sides)
    assert compared.to_json()["candidate"]["overhead_us"]["sensors_ratio_ci"] == (0.996, 1.006)
    assert [
        part for part in comparison_parts([PairedComparison(comparison=compared)]) if "edgebench on pi4" in str(part)
    ] == cost_lines(sides)[:1]


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteAgent]:
    """The agent on this machine, with a home of its own."""
    monkeypatch.setenv("EDGEBENCH_HOME", str(tmp_path / "edgebench-home"))
    device = find_device("local")
    with connect_agent(device) as agent:
        yield agent


@pytest.mark.long
def test_the_overhead_of_a_real_agent_is_measured(agent: RemoteAgent) -> None:
    told: list[str] = []
    found = measure_overhead(agent, report=told.append)
    assert told == []
    assert found is not None
    assert found.per_inference_ci is not None and found.loop_per_inference_ci is not None
    assert 0 < found.per_inference < found.loop_per_inference
    assert found.per_inference_ci[0] <= found.per_inference <= found.per_inference_ci[1]
    assert found.sensors_ratio is not None and found.sensors_ratio_ci is not None
    assert found.sensors_ratio_ci[0] <= found.sensors_ratio <= found.sensors_ratio_ci[1]
    assert np.isfinite([*found.per_inference_ci, *found.loop_per_inference_ci, *found.sensors_ratio_ci]).all()


def test_a_board_that_measures_already_is_left_alone_and_reported(agent: RemoteAgent, tmp_path: Path) -> None:
    board = AgentBoard(tmp_path)
    spec = board.spec(runtime="busy", min_count=1, min_duration_ns=600 * 10**9, max_duration_ns=600 * 10**9)
    board.launch_well(spec)
    try:
        told: list[str] = []
        assert measure_overhead(agent, report=told.append) is None
        (why,) = told
        assert why.startswith(f"overhead not measured: run {spec.run_id} is measuring on this board")
    finally:
        board.end_runs()


def test_a_session_can_go_without(agent: RemoteAgent, tiny_onnx: Path, tmp_path: Path) -> None:
    told: list[Event] = []
    plan = RunPlan(runs=1, min_count=5, min_duration_s=0)
    measured = profile(tiny_onnx, plan=plan, store=tmp_path / "store", overhead=False, on_event=told.append)
    assert measured.overhead_us is None
    assert measured.to_json()["overhead_us"] is None
    assert not [event for event in told if isinstance(event, LogMessage) and "edgebench itself" in event.text]
