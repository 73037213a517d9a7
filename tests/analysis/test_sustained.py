"""A long run minute by minute; the boards are simulated, the expected figures worked out by hand."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from edgebench.analysis import reasons_against, summarise
from edgebench.analysis.throttling import happened_during
from edgebench.analysis.timeline import minutes_of
from edgebench.analysis.validity import judged
from edgebench.errors import ConfigError
from edgebench.measure.scheduler import RunScheduler
from edgebench.measurement import Measurement, measurements_to_json
from edgebench.reason import ReasonCode, reasons_from_json, texts_of
from edgebench.reporting.sustained import sustained_tables
from edgebench.run import Run, Series
from edgebench.store import Store
from edgebench.testing import Disturbance, SimulatedBoard
from edgebench.testing.simulated_board import simulated_subject
from edgebench.workload import RunPlan
from tests.sample_runs import MS, START_NS, run, subject, trace

SUSTAINED = replace(
    subject(planned_runs=1, label="128 tok 3 min"), workload=dict(subject().workload) | {"sustained_min": 3}
)


def by_minute(*latencies_ms: int) -> Run:
    """Return a run whose inferences take so long in each of its minutes."""
    return run(SUSTAINED, 0, trace([ms * MS for ms in latencies_ms for _ in range(60_000 // ms)]))


def test_each_minute_has_its_own_figures() -> None:
    first, second, third = minutes_of(by_minute(10, 20, 40))
    assert (first.number, first.seconds, first.inferences) == (1, 60, 6000)
    assert (first.p50_ms, second.p50_ms, third.p95_ms) == (10, 20, 40)
    assert [each.throughput_per_s for each in (first, second, third)] == pytest.approx([100, 50, 25])


def test_the_last_minute_is_set_against_the_first() -> None:
    sustained = summarise(SUSTAINED, [by_minute(10, 20, 40)]).sustained
    assert sustained is not None
    assert sustained.first_to_last_ratio == 4
    assert summarise(SUSTAINED, [by_minute(10)]).sustained.first_to_last_ratio is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("latencies_ms", "seconds"),
    [
        ([1000] * 59, [59]),
        ([1000] * 89, [89]),
        ([1000] * 91, [60, 31]),
        ([1000] * 125, [60, 65]),
        ([90_000, 90_000], [60, 60, 60]),
        ([5], [0.005]),
    ],
)
def test_what_is_left_in_the_end_is_a_minute_of_its_own_from_half_a_minute_on(
    latencies_ms: list[int], seconds: list[float]
) -> None:
    minutes = minutes_of(run(SUSTAINED, 0, trace([ms * MS for ms in latencies_ms])))
    assert [minute.seconds for minute in minutes] == pytest.approx(seconds)
    assert sum(minute.inferences for minute in minutes) == len(latencies_ms)


def test_a_minute_in_which_no_inference_ended_has_no_latency_but_work_that_was_done() -> None:
    first, second, third = minutes_of(run(SUSTAINED, 0, trace([90_000 * MS] * 2)))
    assert (first.inferences, first.p50_ms, second.p50_ms) == (0, None, 90_000)
    assert [each.throughput_per_s for each in (first, second, third)] == pytest.approx([1 / 90] * 3)


def test_nothing_measured_has_no_minutes() -> None:
    assert minutes_of(run(SUSTAINED, 0, trace([]))) == []
    assert summarise(SUSTAINED, []).sustained.minutes == ()  # type: ignore[union-attr]


def with_readings(**readings: list[int]) -> Run:
    """Return three minutes of a run, each reading every ten seconds."""
    series = {
        name.replace("__", "/"): Series(START_NS + 10_000 * MS * np.arange(len(values)), np.array(values, np.int64))
        for name, values in readings.items()
    }
    plain = by_minute(10, 10, 10)
    return replace(plain, trace=replace(plain.trace, readings=series))


def test_readings_belong_to_their_minute() -> None:
    first, second, third = minutes_of(
        with_readings(
            frequency_khz__policy0=[1_800_000] * 9 + [1_000_000] * 9,
            frequency_khz__policy4=[600_000] * 18,
            temperature_mc__cpu=[50_000, 60_000, 55_000, 60_000, 61_000, 61_000, *[80_500] * 12],
            temperature_mc__nvme=[90_000] * 18,
            others_cpu_millicores=[0, 100, 200, 300, 400, 500, *[50] * 12],
        )
    )
    assert [each.clock_mhz for each in (first, second, third)] == [1800, 1400, 1000]
    assert [each.temperature_c for each in (first, second, third)] == [61, 80.5, 80.5]
    assert [each.others_cores for each in (first, second, third)] == pytest.approx([0.25, 0.05, 0.05])


def test_throttling_belongs_to_the_minute_in_which_it_happened() -> None:
    before, between, now = 0x10000, 0x50000, 0x50004
    minutes = minutes_of(with_readings(throttled=[before] * 8 + [between] * 6 + [now] * 4))
    assert [each.throttled for each in minutes] == [(), ("throttled",), ("throttled",)]
    assert [each.throttled for each in minutes_of(by_minute(10, 10))] == [None, None]


def test_a_sticky_bit_tells_once() -> None:
    assert happened_during([0x40000, 0x40000], before=0x40000) == 0
    assert happened_during([0x40000], before=0x0) == 0x4
    assert happened_during([0x4, 0x40001], before=0x0) == 0x5


# --- on a board that throttles -----------------------------------------------------------------------------------

PLAN = RunPlan(sustained_min=3)
OF_BOARD = replace(
    simulated_subject(0, name="a", planned_runs=1),
    workload=dict(simulated_subject(0, name="a", planned_runs=1).workload) | {"sustained_min": 3},
    label="128 tok 3 min",
)


@pytest.fixture(scope="module")
def throttled() -> Measurement:
    """Three minutes of 20 ms on a board that from 100 s on takes 1.5 times as long; it is warm by then."""
    board = SimulatedBoard(seed=2, disturbances=[Disturbance(100.0, 1e9, 1.5)], between=0.0, sensor_hz=2.0)
    found = board.run(OF_BOARD, 0, count=7_000)
    return summarise(OF_BOARD, [replace(found, reasons=reasons_against(found, PLAN))])


def test_throttling_is_the_result_and_speaks_not_against_it(throttled: Measurement) -> None:
    assert throttled.valid
    ordinary = reasons_against(throttled.runs[0], RunPlan())
    assert ReasonCode.THROTTLED in {reason.code for reason in ordinary}
    assert throttled.sustained is not None
    assert throttled.sustained.first_to_last_ratio == pytest.approx(1.5, rel=0.02)
    first, last = throttled.sustained.minutes[0], throttled.sustained.minutes[-1]
    assert (first.throttled, last.throttled) == ((), ("clock capped", "throttled"))
    assert (first.clock_mhz, last.clock_mhz) == (1800, 1000)
    assert last.temperature_c == 81
    assert last.throughput_per_s == pytest.approx(first.throughput_per_s / 1.5, rel=0.05)


@pytest.mark.parametrize(("seconds", "counts"), [(5.0, True), (20.0, False)])
def test_others_spoil_a_sustained_run_by_more_than_a_fifth_of_some_minute(seconds: float, counts: bool) -> None:
    others = Disturbance(70.0, 70.0 + seconds, 1.0, others_millicores=900)
    found = SimulatedBoard(seed=2, disturbances=[others], between=0.0, sensor_hz=2.0).run(OF_BOARD, 0, count=7_000)
    told = judged(found, PLAN)
    assert told.excluded_spans == ()
    spoiled = ["other processes used more than 0.4 cores in moments that were not excluded"]
    assert texts_of(told.reasons) == ([] if counts else spoiled)


def shown(measurement: Measurement) -> str:
    console = Console(file=io.StringIO(), width=100)
    for part in sustained_tables(measurement):
        console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_table_has_a_row_a_minute_and_says_what_became_of_the_first(throttled: Measurement) -> None:
    text = shown(throttled)
    assert "128 tok 3 min" in text
    assert [line.split()[0] for line in text.splitlines() if line.strip()[:1].isdigit()] == ["1", "2", "3"]
    ratio = throttled.sustained.first_to_last_ratio  # type: ignore[union-attr]
    assert f"p50 in the last minute: {ratio:.3f} times that of the first" in text
    assert "clock capped, throttled" in text


def test_an_ordinary_measurement_has_no_minutes() -> None:
    ordinary = summarise(subject(), [by_minute(10)])
    assert ordinary.sustained is None
    assert shown(ordinary) == ""
    assert measurements_to_json([ordinary])["measurements"][0]["sustained"] is None


def test_a_run_that_ended_early_keeps_its_minutes_and_says_so() -> None:
    cut = replace(by_minute(10, 20), reasons=reasons_from_json(("interrupted before its end",), None))
    measurement = summarise(SUSTAINED, [cut])
    assert not measurement.valid
    text = shown(measurement)
    assert "2.000 times that of the first (10.0 -> 20.0 ms)" in text
    assert "it ended after 2.0 of 3 minutes" in text


def test_a_whole_run_is_shown_rather_than_one_that_ended_early() -> None:
    cut = replace(by_minute(1, 1), id="cut", reasons=reasons_from_json(("interrupted before its end",), None))
    sustained = summarise(SUSTAINED, [cut, by_minute(10, 10, 10)]).sustained
    assert sustained is not None
    assert [minute.p50_ms for minute in sustained.minutes] == [10, 10, 10]


def test_a_long_run_is_shown_thinned_out_and_told_whole() -> None:
    measurement = summarise(SUSTAINED, [by_minute(*[500] * 100)])
    text = shown(measurement)
    rows = [int(line.split()[0]) for line in text.splitlines() if line.strip()[:1].isdigit() and "minutes" not in line]
    assert len(rows) == 40
    assert (rows[0], rows[-1]) == (1, 100)
    assert "40 of 100 minutes are shown" in text
    (document,) = measurements_to_json([measurement])["measurements"]
    assert len(document["sustained"]["minutes"]) == 100
    json.dumps(document["sustained"], allow_nan=False)


def test_a_store_gives_the_minutes_back(tmp_path, throttled: Measurement) -> None:  # type: ignore[no-untyped-def]
    store = Store(tmp_path / "store")
    store.add_run(throttled.subject, throttled.runs[0])
    assert store.measurement(throttled.id).sustained == throttled.sustained


# --- the plan ----------------------------------------------------------------------------------------------------


def test_a_sustained_plan_is_one_run_that_may_end_its_turn() -> None:
    plan = RunPlan(sustained_min=10)
    assert (plan.runs, plan.min_count, plan.min_duration_s, plan.max_duration_s) == (1, 1, 600, 660)


@pytest.mark.parametrize("minutes", [0, -1, 1441, float("nan")])
def test_minutes_out_of_bounds_are_refused(minutes: float) -> None:
    with pytest.raises(ConfigError, match="sustained_min must be more than 0"):
        RunPlan(sustained_min=minutes)


def test_a_long_run_is_not_repeated_unasked() -> None:
    done: dict[str, list[Run]] = {SUSTAINED.id: []}
    bad = replace(by_minute(10), reasons=reasons_from_json(("other processes used more than 0.5 cores",), None))
    for repeats, count in ((False, 1), (True, 2)):
        done[SUSTAINED.id].clear()
        RunScheduler(
            subjects=[SUSTAINED],
            done=done,
            looks=(1,),
            seed=0,
            repeats=repeats,
            measure=lambda _: done[SUSTAINED.id].append(bad),
        ).run()
        assert len(done[SUSTAINED.id]) == count
