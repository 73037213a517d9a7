"""The rules by which a run counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgebench.measurement import Run, Series
from edgebench.testing import Disturbance, SimulatedBoard
from edgebench.testing.simulated_board import simulated_subject
from edgebench.validity import RULES, reasons_against
from edgebench.workload import RunPlan
from tests.sample_runs import MS, run, subject, trace

PLAN = RunPlan(runs=2, min_count=10, max_duration_s=60)


def measured(*, throttled: list[int] | None = None, count: int = 10, **facts: Any) -> Run:
    readings = {"throttled": throttled} if throttled is not None else {}
    of = subject()
    return run(of, 0, trace([MS] * count, readings=readings), facts={"warmup_steady": True} | facts)


def test_a_run_that_nothing_speaks_against_counts() -> None:
    assert reasons_against(measured(), PLAN) == ()
    assert reasons_against(measured(throttled=[0, 0]), PLAN) == ()


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ([0x0, 0x1, 0x0], "under-voltage"),
        ([0x0, 0x10000], "under-voltage"),
        ([0x0, 0x2], "clock capped"),
        ([0x0, 0x20000], "clock capped"),
        ([0x0, 0x4], "throttled"),
        ([0x50000, 0x50004], "throttled"),
        ([0x10000, 0x50000], "throttled"),
        ([0x0, 0x80008], "soft temperature limit"),
        ([0x0, 0x50005], "under-voltage and throttled"),
    ],
)
def test_throttling_now_or_between_two_readings_speaks_against_a_run(seen: list[int], reason: str) -> None:
    assert reasons_against(measured(throttled=seen), PLAN) == (f"{reason} during the run",)


@pytest.mark.parametrize("seen", [[0x50000, 0x50000], [0xF0000], [0x50000, 0x10000]])
def test_what_was_throttled_before_the_run_does_not(seen: list[int]) -> None:
    assert reasons_against(measured(throttled=seen), PLAN) == ()


def test_warm_up_that_was_not_seen_to_end_does() -> None:
    (reason,) = reasons_against(measured(warmup_steady=False, warmup_count=200), PLAN)
    assert reason == "warm-up was not seen to end"
    assert reasons_against(measured(warmup_steady=True), PLAN) == ()


def test_too_few_observations_do() -> None:
    (reason,) = reasons_against(measured(count=9), PLAN)
    assert reason == "fewer than 10 inferences in 60 s; raise --max-duration or lower --min-count"


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"providers": ["CPUExecutionProvider"]}, "CUDAExecutionProvider was asked for, but CPUExecutionProvider ran"),
        (
            {
                "providers": ["CUDAExecutionProvider", "CPUExecutionProvider"],
                "nodes": {"CPUExecutionProvider": 300},
            },
            "CUDAExecutionProvider runs none of the graph's nodes; they fell back to CPUExecutionProvider",
        ),
    ],
)
def test_a_provider_that_fell_back_does(facts: dict[str, Any], reason: str) -> None:
    asked = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert reasons_against(measured(providers_asked=asked, **facts), PLAN) == (reason,)


def test_a_provider_that_runs_most_of_the_graph_is_no_fallback() -> None:
    nodes = {"CUDAExecutionProvider": 290, "CPUExecutionProvider": 10}
    ran = measured(providers_asked=["CUDAExecutionProvider"], providers=list(nodes), nodes=nodes)
    assert reasons_against(ran, PLAN) == ()


TURN = {"batches": 3, "batch_sizes": [2, 2, 1], "batch_tokens": [20, 10, 5]}


def test_less_than_one_turn_of_the_inputs_does() -> None:
    plan = replace(PLAN, min_count=2)
    (reason,) = reasons_against(measured(count=2, **TURN), plan)
    assert reason == "not one whole turn of the 5 inputs in at most 60 s; raise --max-duration"
    assert reasons_against(measured(count=3, **TURN), plan) == ()


def test_too_few_observations_in_whole_turns_do() -> None:
    (reason,) = reasons_against(measured(count=11, **TURN), PLAN)  # 9 in whole turns, 10 wanted
    assert reason.startswith("fewer than 10 inferences in whole turns of the 5 inputs in 60 s")
    assert reasons_against(measured(count=12, **TURN), PLAN) == ()


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ({"load_ns": None}, "the board did not tell how long loading took"),
        ({"first_ns": None}, "the board did not tell its first inference"),
        ({"facts": {}}, "the board did not tell the end of warm-up"),
        ({"load_ns": None, "facts": {}}, "the board did not tell how long loading took and the end of warm-up"),
    ],
)
def test_what_every_run_tells_must_not_be_missing(missing: dict[str, Any], reason: str) -> None:
    assert reasons_against(replace(measured(), **missing), PLAN) == (reason,)


def test_a_reason_does_nothing_to_a_terminal() -> None:
    (reason,) = reasons_against(measured(providers_asked=["X"], providers=["Y\x1b[2J\u202e"]), PLAN)
    assert reason == "X was asked for, but Y [2J ran"


def test_every_reason_is_given_in_the_order_of_the_table() -> None:
    bad = measured(throttled=[4], count=1, warmup_steady=False, providers_asked=["X"], providers=["Y"], **TURN)
    told = ["did not tell", "throttled", "warm-up", "fewer than", "not one whole turn", "X was asked for"]
    reasons = reasons_against(replace(bad, load_ns=None), PLAN)
    assert [word for word, reason in zip(told, reasons, strict=True) if word not in reason] == []
    assert len(RULES) > len(reasons)  # those of sensors have tests of their own


# --- what sensors tell -----------------------------------------------------------------------------------------------


def simulated(*disturbances: Disturbance, count: int = 500, **about: Any) -> Run:
    """Ten seconds of a simulated board, read ten times a second."""
    board = SimulatedBoard(seed=5, sensor_hz=10.0, disturbances=disturbances, **about)
    return board.run(simulated_subject(0, name="a", planned_runs=1), 0, count=count)


def without(run: Run, *sensors: str) -> Run:
    readings = {name: series for name, series in run.trace.readings.items() if not name.startswith(sensors)}
    return replace(run, trace=replace(run.trace, readings=readings))


def test_a_quiet_board_counts() -> None:
    assert reasons_against(simulated(drift=0.05), PLAN) == ()


def test_an_episode_before_the_run_does_not_matter_although_its_bits_stick() -> None:
    run = simulated(Disturbance(-100.0, 0.2, 1.5))
    assert int(run.trace.readings["throttled"].values[-1]) >> 16
    assert reasons_against(run, PLAN) == ()


def test_a_clock_that_drops_tells_of_throttling_where_no_flags_do() -> None:
    throttled = without(simulated(Disturbance(4.0, 6.0, 1.5)), "temperature_mc/")
    assert "throttled" in reasons_against(throttled, PLAN)[0]
    assert reasons_against(without(throttled, "throttled"), PLAN) == (
        "the clock was below 90 % of what the governor allows",
    )
    assert reasons_against(without(throttled, "throttled", "frequency_khz/"), PLAN) == ()
    unknown = replace(throttled, facts={"warmup_steady": True})
    assert reasons_against(without(unknown, "throttled"), PLAN) == ()


def test_one_low_reading_is_forgiven() -> None:
    run = simulated()
    clocks = run.trace.readings["frequency_khz/policy0"]
    clocks.values[30] = 600_000
    assert reasons_against(run, PLAN) == ()
    clocks.values[31] = 600_000
    assert len(reasons_against(run, PLAN)) == 1


def test_other_processes_speak_against_a_run_when_they_work_most_of_the_time() -> None:
    assert reasons_against(simulated(Disturbance(0.0, 30.0, 1.2, others_millicores=900)), PLAN) == (
        "other processes used more than 0.5 cores",
    )
    assert reasons_against(simulated(Disturbance(4.0, 5.0, 1.2, others_millicores=900)), PLAN) == ()


def test_a_board_that_heats_up_within_a_run_has_not_settled() -> None:
    heating = simulated(drift_s=3.0)
    assert reasons_against(heating, PLAN) == ("the temperature changed by more than 15 °C",)


@pytest.mark.parametrize(("faults", "counts"), [([5, 5], True), ([5, 15], True), ([5, 400], False), ([400], True)])
def test_memory_that_is_read_back_from_the_disk_speaks_against_a_run(faults: list[int], counts: bool) -> None:
    run = simulated()
    ends = [0, int(run.trace.starts_ns[-1]) + 10**9]
    series = Series(np.asarray(ends[: len(faults)], np.int64), np.asarray(faults, np.int64))
    run = replace(run, trace=replace(run.trace, readings={**run.trace.readings, "major_faults": series}))
    assert (reasons_against(run, PLAN) == ()) == counts
