"""The rules by which a run counts."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from edgebench.analysis import complete_passes, reasons_against, summarise
from edgebench.analysis.limits import Limits
from edgebench.analysis.validity import RULES, judged
from edgebench.facts import RunFacts
from edgebench.reason import Reason, ReasonCode, State, reasons_from_json, texts_of
from edgebench.reporting import measurement_table
from edgebench.reporting.table import summary_line
from edgebench.run import Run, Series
from edgebench.testing import Disturbance, SimulatedBoard
from edgebench.testing.simulated_board import simulated_subject
from edgebench.workload import RunPlan
from tests.sample_runs import MS, run, subject, trace

PLAN = RunPlan(runs=2, min_count=10, max_duration_s=60)


def measured(*, throttled: list[int] | None = None, count: int = 10, **facts: Any) -> Run:
    readings = {"throttled": throttled} if throttled is not None else {}
    of = subject()
    return run(of, 0, trace([MS] * count, readings=readings), facts={"warmup_steady": True} | facts)


def texts_against(run: Run, plan: RunPlan) -> tuple[str, ...]:
    return tuple(texts_of(reasons_against(run, plan)))


def test_a_run_that_nothing_speaks_against_counts() -> None:
    assert texts_against(measured(), PLAN) == ()
    assert texts_against(measured(throttled=[0, 0]), PLAN) == ()


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
    assert texts_against(measured(throttled=seen), PLAN) == (f"{reason} during the run",)


@pytest.mark.parametrize("seen", [[0x50000, 0x50000], [0xF0000], [0x50000, 0x10000]])
def test_what_was_throttled_before_the_run_does_not(seen: list[int]) -> None:
    assert texts_against(measured(throttled=seen), PLAN) == ()


def test_warm_up_that_was_not_seen_to_end_does() -> None:
    (reason,) = texts_against(measured(warmup_steady=False, warmup_count=200), PLAN)
    assert reason == "warm-up was not seen to end"
    assert texts_against(measured(warmup_steady=True), PLAN) == ()


def test_too_few_observations_do() -> None:
    (reason,) = texts_against(measured(count=9), PLAN)
    assert reason == "fewer than 10 inferences in 60 s; allow a longer run, or fewer inferences"


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"providers": ["CPUExecutionProvider"]}, "CUDAExecutionProvider was requested, but CPUExecutionProvider ran"),
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
    assert texts_against(measured(providers_asked=asked, **facts), PLAN) == (reason,)


def test_a_provider_that_runs_most_of_the_graph_is_no_fallback() -> None:
    nodes = {"CUDAExecutionProvider": 290, "CPUExecutionProvider": 10}
    ran = measured(providers_asked=["CUDAExecutionProvider"], providers=list(nodes), nodes=nodes)
    assert texts_against(ran, PLAN) == ()


TURN = {"batches": 3, "batch_sizes": [2, 2, 1], "batch_tokens": [20, 10, 5]}


def test_less_than_one_turn_of_the_inputs_does() -> None:
    plan = replace(PLAN, min_count=2)
    (reason,) = texts_against(measured(count=2, **TURN), plan)
    assert reason == "not one complete pass over the 5 inputs in at most 60 s; allow a longer run"
    assert texts_against(measured(count=3, **TURN), plan) == ()


def test_too_few_observations_in_whole_turns_do() -> None:
    (reason,) = texts_against(measured(count=11, **TURN), PLAN)  # 9 in whole turns, 10 wanted
    assert reason.startswith("fewer than 10 inferences in complete passes over the 5 inputs in 60 s")
    assert texts_against(measured(count=12, **TURN), PLAN) == ()


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ({"load_ns": None}, "the board did not report how long loading took"),
        ({"first_ns": None}, "the board did not report its first inference"),
        ({"facts": RunFacts()}, "the board did not report the end of warm-up"),
        (
            {"load_ns": None, "facts": RunFacts()},
            "the board did not report how long loading took and the end of warm-up",
        ),
    ],
)
def test_what_every_run_tells_must_not_be_missing(missing: dict[str, Any], reason: str) -> None:
    assert texts_against(replace(measured(), **missing), PLAN) == (reason,)


def test_a_reason_does_nothing_to_a_terminal() -> None:
    (reason,) = texts_against(measured(providers_asked=["X"], providers=["Y\x1b[2J\u202e"]), PLAN)
    assert reason == "X was requested, but Y [2J ran"


def test_every_reason_is_given_in_the_order_of_the_table() -> None:
    bad = measured(throttled=[4], count=1, warmup_steady=False, providers_asked=["X"], providers=["Y"], **TURN)
    told = ["did not report", "throttled", "warm-up", "fewer than", "not one complete pass", "X was requested"]
    reasons = texts_against(replace(bad, load_ns=None), PLAN)
    assert [word for word, reason in zip(told, reasons, strict=True) if word not in reason] == []
    assert len(RULES) > len(reasons)  # those of sensors have tests of their own


def test_a_reason_has_the_code_of_its_rule() -> None:
    (reason,) = reasons_against(measured(warmup_steady=False), PLAN)
    assert reason == Reason(ReasonCode.WARM_UP_NOT_ENDED, "warm-up was not seen to end")


#: A text of every reason, as edgebenches wrote them that had no codes.
OLD_TEXTS = {
    "the board did not tell how long loading took": "incomplete",
    "under-voltage and throttled during the run": "throttled",
    "the clock was below 90 % of what the governor allows": "clock_too_low",
    "the temperature changed by more than 15 °C": "temperature_changed",
    "other processes used more than 0.5 cores": "others_worked",
    "memory was read back from the disk while it was timed (major page faults); free some": "faulted",
    "the board swapped memory while it was timed; free some, or use a smaller model": "swapped",
    "the kernel changed the clock that everything is timed by (see dmesg)": "clocksource_changed",
    "warm-up was not seen to end": "warm_up_not_ended",
    "latencies fell by more than 5 % while they were timed": "not_steady",
    "the models that alternated drifted apart by more than 5 %": "drifted_apart",
    "fewer than 10 inferences in whole turns of the 5 inputs in 60 s": "too_few_observations",
    "not one whole turn of the 5 inputs in at most 60 s; raise --max-duration": "no_complete_pass",
    "queries arrived faster than they can be served, so that ever more of them waited": "overloaded",
    "CUDAExecutionProvider was asked for, but CPUExecutionProvider ran": "provider_fell_back",
    "beside it: warm-up was not seen to end": "partner",
    "the run of a model that it alternated with is missing": "partner_missing",
    "failed: model_rejected": "failed",
    "interrupted before its end": "interrupted",
    "too hot": "other",
}


def test_texts_of_old_runs_have_codes() -> None:
    found = reasons_from_json(list(OLD_TEXTS), None)
    assert {reason.text: str(reason.code) for reason in found} == OLD_TEXTS
    newer = {"stolen", "quota", "not_judged", "rate_not_confirmed"}
    assert {*OLD_TEXTS.values()} == {*map(str, ReasonCode)} - {"too_few_runs", "runs_differ"} - newer


def test_a_code_of_a_newer_edgebench_is_other() -> None:
    assert reasons_from_json(["the moon was full"], ["moon"]) == (Reason(ReasonCode.OTHER, "the moon was full"),)


# --- what sensors tell -----------------------------------------------------------------------------------------------


def simulated(*disturbances: Disturbance, count: int = 500, **about: Any) -> Run:
    """Ten seconds of a simulated board, read ten times a second."""
    board = SimulatedBoard(seed=5, sensor_hz=10.0, disturbances=disturbances, **about)
    return board.run(simulated_subject(0, name="a", planned_runs=1), 0, count=count)


def without(run: Run, *sensors: str) -> Run:
    readings = {name: series for name, series in run.trace.readings.items() if not name.startswith(sensors)}
    return replace(run, trace=replace(run.trace, readings=readings))


def test_a_quiet_board_counts() -> None:
    assert texts_against(simulated(drift=0.05), PLAN) == ()


def test_an_episode_before_the_run_does_not_matter_although_its_bits_stick() -> None:
    run = simulated(Disturbance(-100.0, 0.2, 1.5))
    assert int(run.trace.readings["throttled"].values[-1]) >> 16
    assert texts_against(run, PLAN) == ()


def test_a_clock_that_drops_tells_of_throttling_where_no_flags_do() -> None:
    throttled = without(simulated(Disturbance(4.0, 6.0, 1.5)), "temperature_mc/")
    assert "throttled" in texts_against(throttled, PLAN)[0]
    assert texts_against(without(throttled, "throttled"), PLAN) == (
        "the clock was below 99 % of what the governor allows",
    )
    assert texts_against(without(throttled, "throttled", "frequency_khz/"), PLAN) == ()
    unknown = replace(throttled, facts=RunFacts(warmup_steady=True))
    assert texts_against(without(unknown, "throttled"), PLAN) == ()


def test_one_low_reading_is_forgiven() -> None:
    run = simulated()
    clocks = run.trace.readings["frequency_khz/policy0"]
    clocks.values[30] = 600_000
    assert texts_against(run, PLAN) == ()
    clocks.values[31:35] = 600_000  # of a hundred: two and a half per cent of the work
    assert len(texts_against(run, PLAN)) == 1


def test_other_processes_speak_against_a_run_when_they_work_most_of_the_time() -> None:
    busy = judged(simulated(Disturbance(0.0, 30.0, 1.2, others_millicores=900)), PLAN)
    assert tuple(texts_of(busy.reasons)) == ("other processes used more than 0.04 cores",)
    assert busy.excluded_spans == ()


def test_a_burst_of_others_is_cut_out_and_the_rest_counts() -> None:
    whole = simulated(Disturbance(4.0, 5.0, 1.2, others_millicores=900))
    run = judged(whole, PLAN)
    assert run.valid and run.trace is whole.trace
    starts, ends = run.trace.starts_ns / 1e9, (run.trace.starts_ns + run.trace.latencies_ns) / 1e9
    # A reading every 0.1 s tells of the time since the last: the burst, and at most 0.1 s more at its ends.
    assert not run.is_excluded[(ends < 3.9) | (starts > 5.1)].any()
    assert run.is_excluded[(starts > 4.0) & (ends < 4.9)].all()
    counted = complete_passes(run)
    assert counted.latencies_ns.tolist() == run.latencies_ns[~run.is_excluded].tolist()
    assert counted.inferences == len(counted.latencies_ns) and counted.excluded_spans == ()


@pytest.mark.parametrize(("seconds", "min_count", "counts"), [(1.0, 10, True), (3.5, 10, False), (1.0, 495, True)])
def test_only_a_small_burst_is_cut_also_of_a_run_that_ends_with_its_min_count(
    seconds: float, min_count: int, counts: bool
) -> None:
    run = simulated(Disturbance(4.0, 4.0 + seconds, 1.01, others_millicores=900))
    run = judged(run, replace(PLAN, min_count=min_count))
    assert (run.valid, bool(run.excluded_spans)) == (counts, counts)


def test_whole_turns_of_the_inputs_are_cut() -> None:
    run = simulated(Disturbance(4.0, 4.2, 1.2, others_millicores=900), count=501)
    turn = {"batches": 3, "batch_sizes": [2, 2, 1], "batch_tokens": [20, 10, 5]}
    items = np.arange(501) % 3
    run = replace(run, facts=run.facts.adding(turn), trace=replace(run.trace, items=items))
    counted = complete_passes(judged(run, PLAN))
    left = len(counted.latencies_ns)
    assert left < 501 and left % 3 == 0
    assert counted.trace.items.tolist() == [0, 1, 2] * (left // 3)
    assert (counted.inferences, counted.tokens) == (5 * left // 3, 35 * left // 3)


def test_the_time_of_a_cut_is_not_in_the_throughput() -> None:
    run = measured(count=10)  # one millisecond each, one after the other
    start = int(run.trace.starts_ns[4])
    counted = complete_passes(replace(run, excluded_spans=((start, start + 2 * MS),)))
    first = int(run.trace.starts_ns[0])
    assert ((counted.trace.starts_ns - first) // MS).tolist() == list(range(8))
    assert (counted.inferences, counted.tokens) == (8, 8 * 128)


def drifting(by: float, *, items: int = 1) -> Run:
    """A run whose latencies grow by so much from its start to its end; every input takes its own time."""
    run = simulated()
    count = len(run.latencies_ns)
    position = np.arange(count) % items
    latencies = (run.latencies_ns * (1 + position) * (1 + by * np.linspace(0, 1, count))).astype(np.int64)
    starts = run.trace.starts_ns[0] + np.cumsum(latencies) - latencies
    return replace(run, trace=replace(run.trace, starts_ns=starts, latencies_ns=latencies, items=position, readings={}))


@pytest.mark.parametrize("items", [1, 7])
def test_latencies_that_drift_while_timed_speak_against_a_run(items: int) -> None:
    assert texts_against(drifting(0.0, items=items), PLAN) == ()
    assert texts_against(drifting(0.1, items=items), PLAN) == ("latencies grew by more than 2 % while they were timed",)
    assert texts_against(drifting(-0.1, items=items), PLAN) == (
        "latencies fell by more than 2 % while they were timed",
    )


def test_few_good_runs_are_lost_to_steadiness() -> None:
    """100 inferences, 3 % noise, heavy tails, a board that warms up: more than 1 % would be too many."""
    of = simulated_subject(0, name="a", planned_runs=1)
    runs = [SimulatedBoard(seed=seed, drift=0.02).run(of, 0, count=100) for seed in range(300)]
    assert sum("not_steady" in against(run) for run in runs) <= 3


def against(run: Run) -> list[str]:
    return [name for name, rule in RULES.items() if rule(run, PLAN, Limits.of(run)) is not None]


def test_a_server_whose_queue_grows_is_steady_as_long_as_each_query_takes_the_same() -> None:
    run = measured(count=1000)
    arrivals = run.trace.starts_ns - 5 * MS * np.arange(1000) // 1000  # the later, the longer it waited
    waited = run.trace.starts_ns + run.trace.latencies_ns - arrivals
    run = replace(run, trace=replace(run.trace, starts_ns=arrivals, latencies_ns=waited))
    assert waited[-1] > 5 * waited[0]
    assert texts_against(run, PLAN) == ()


def of_cores(run: Run, clocks: dict[str, int], allowed: dict[str, int], **board: Any) -> Run:
    """The same run on a board whose cores have these clocks all the time."""
    run = without(run, "frequency_khz/")
    times = run.trace.readings["others_cpu_millicores"].t_ns
    cores = {f"frequency_khz/{name}": Series(times, np.full(len(times), clock)) for name, clock in clocks.items()}
    readings = {**run.trace.readings, **cores}
    facts = run.facts.adding({"board": {"clock_allowed_khz": allowed, **board}})
    return replace(run, facts=facts, trace=replace(run.trace, readings=readings))


BIG_LITTLE = {"cpu0": 1_800_000, "cpu4": 2_400_000}


@pytest.mark.parametrize(
    ("clocks", "board", "counts"),
    [
        ({"cpu0": 600_000, "cpu4": 2_400_000}, {}, True),  # the small ones idle
        ({"cpu0": 1_800_000, "cpu4": 1_400_000}, {}, False),  # the fast ones, which work, are held back
        ({"cpu0": 1_800_000, "cpu4": 400_000}, {"cores": 8, "usable_cores": 4}, True),  # bound to the small ones
        ({"cpu0": 1_400_000, "cpu4": 400_000}, {"cores": 8, "usable_cores": 4}, False),
    ],
)
def test_of_cores_of_several_kinds_those_that_work_are_looked_at(
    clocks: dict[str, int], board: dict[str, int], counts: bool
) -> None:
    run = of_cores(simulated(), clocks, BIG_LITTLE, **board)
    assert (against(run) == []) == counts


def test_a_clock_that_falls_between_inferences_is_what_its_governor_is_for() -> None:
    run = of_cores(simulated(), {"cpu0": 600_000}, {"cpu0": 1_800_000})
    assert against(run) == ["clock_too_low"]
    trace = run.trace
    rare = replace(trace, starts_ns=trace.starts_ns[::5], latencies_ns=trace.latencies_ns[::5], items=trace.items[::5])
    assert against(replace(run, trace=rare)) == []  # a pause of four inferences after each


def test_what_was_throttled_between_the_start_and_the_first_reading_speaks_against_a_run() -> None:
    begun = {"board": {"throttled": 0}}
    assert texts_against(measured(throttled=[0x20000], **begun), PLAN) == ("clock capped during the run",)
    assert texts_against(measured(throttled=[0x20000], board={"throttled": 0x20000}), PLAN) == ()


@pytest.mark.parametrize(("pages", "counts"), [([0, 0], True), ([900, 1000], True), ([0, 1000], False), ([9000], True)])
def test_swapping_speaks_against_a_run(pages: list[int], counts: bool) -> None:
    run = simulated()
    ends = [0, int(run.trace.starts_ns[-1]) + 10**9]
    series = Series(np.asarray(ends[: len(pages)], np.int64), np.asarray(pages, np.int64))
    run = replace(run, trace=replace(run.trace, readings={**run.trace.readings, "swapped_pages": series}))
    assert (texts_against(run, PLAN) == ()) == counts


def test_another_clock_source_speaks_against_a_run() -> None:
    run = measured()
    changes = Series(run.trace.starts_ns[:2], np.array([0, 1]))
    changed = replace(run, trace=replace(run.trace, readings={"clocksource_changes": changes}))
    assert texts_against(changed, PLAN) == ("the kernel changed the clock that everything is timed by (see dmesg)",)


def test_a_board_that_heats_up_within_a_run_has_not_settled() -> None:
    heating = simulated(drift_s=3.0)
    assert texts_against(heating, PLAN) == ("the temperature changed by more than 5 °C",)


@pytest.mark.parametrize(("faults", "counts"), [([5, 5], True), ([5, 15], True), ([5, 400], False), ([400], True)])
def test_memory_that_is_read_back_from_the_disk_speaks_against_a_run(faults: list[int], counts: bool) -> None:
    run = simulated()
    ends = [0, int(run.trace.starts_ns[-1]) + 10**9]
    series = Series(np.asarray(ends[: len(faults)], np.int64), np.asarray(faults, np.int64))
    run = replace(run, trace=replace(run.trace, readings={**run.trace.readings, "major_faults": series}))
    assert (texts_against(run, PLAN) == ()) == counts


# --- limits follow from the margin ------------------------------------------------------------------------------------


def with_series(run: Run, name: str, value: int) -> Run:
    """The same run, with a sensor that has read one value all the time, ten times a second."""
    times = run.trace.readings["others_cpu_millicores"].t_ns
    series = Series(times, np.full(len(times), value))
    return replace(run, trace=replace(run.trace, readings={**run.trace.readings, name: series}))


@pytest.mark.parametrize(
    ("sensor", "value", "code"),
    [
        ("others_cpu_millicores", 490, "others_worked"),  # of four cores: 12 % of the board
        ("others_cpu_millicores", 60, "others_worked"),
        ("steal_cpu_millicores", 60, "stolen"),
        ("quota_cpu_millicores", 60, "quota"),
        ("frequency_khz/policy0", 1_640_000, "clock_too_low"),  # 91 %
        ("frequency_khz/policy0", 1_770_000, "clock_too_low"),  # 98 %
    ],
)
def test_what_could_move_the_figure_by_a_third_of_the_margin_speaks_against_a_run(
    sensor: str, value: int, code: str
) -> None:
    run = with_series(simulated(), sensor, value)
    assert [each.code for each in reasons_against(run, PLAN)] == [code]
    assert reasons_against(run, PLAN, margin=0.5) == ()


@pytest.mark.parametrize(
    ("sensor", "value"),
    [("others_cpu_millicores", 30), ("steal_cpu_millicores", 30), ("frequency_khz/policy0", 1_790_000)],
)
def test_what_could_not_does_not(sensor: str, value: int) -> None:
    run = without(with_series(simulated(), sensor, value), "temperature_mc/")
    assert reasons_against(run, PLAN) == ()
    assert len(reasons_against(run, PLAN, margin=0.005)) == 1


def test_waiting_for_a_processor_speaks_for_others_where_their_load_is_not_reported() -> None:
    waiting = with_series(simulated(), "waiting_cpu_permille", 200)
    assert reasons_against(waiting, PLAN) == ()  # the load of others is reported: the run's own threads may wait, too
    assert texts_against(without(waiting, "others_cpu_millicores"), PLAN) == (
        "processes waited for a processor for more than 0.04 s per second",
    )


def test_a_text_says_the_limit_that_was_applied() -> None:
    run = with_series(with_series(simulated(), "others_cpu_millicores", 490), "steal_cpu_millicores", 490)
    run = with_series(run, "frequency_khz/policy0", 1_000_000)
    assert texts_of(reasons_against(run, PLAN, margin=0.06)) == [
        "the clock was below 98 % of what the governor allows",
        "other processes used more than 0.08 cores",
        "the hypervisor gave more than 0.08 cores to other machines (steal)",
    ]


def test_fourteen_degrees_within_a_run_speak_against_it() -> None:
    run = simulated()
    series = run.trace.readings["temperature_mc/cpu-thermal"]
    series.values[:] = np.linspace(50_000, 64_000, len(series.values))
    assert texts_against(run, PLAN) == ("the temperature changed by more than 5 °C",)
    assert reasons_against(run, PLAN, margin=0.1) == ()


def test_of_few_readings_one_that_is_torn_is_no_change_of_temperature() -> None:
    run = measured(count=2000)
    times = run.trace.starts_ns[0] + np.array([1, 600, 1200, 1800]) * MS

    def heated(*values: int) -> Run:
        series = Series(times, np.array(values))
        return replace(run, trace=replace(run.trace, readings={"temperature_mc/cpu": series}))

    assert texts_against(heated(50_000, 51_000, 52_000, 90_000), PLAN) == ()
    assert len(texts_against(heated(50_000, 51_000, 60_000, 61_000), PLAN)) == 1


def test_what_slows_alternating_models_alike_may_be_ten_times_as_much() -> None:
    run = with_series(simulated(), "steal_cpu_millicores", 300)
    assert "stolen" in against(run)
    alternating = replace(run, facts=run.facts.adding({"alternating": {"process": "p", "models": 2}}))
    assert against(alternating) == []
    assert "stolen" in against(with_series(alternating, "steal_cpu_millicores", 900))


# --- runs that are too short to be judged -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "latency_ms", "inputs", "is_judged"),
    [(200, 1, 1, False), (2000, 1, 1, True), (19, 100, 1, False), (100, 20, 30, True), (100, 20, 50, False)],
)
def test_a_run_is_judged_from_a_second_twenty_inferences_and_three_passes_on(
    count: int, latency_ms: int, inputs: int, is_judged: bool
) -> None:
    facts = {"batches": inputs, "batch_sizes": [1] * inputs, "batch_tokens": [9] * inputs}
    made = run(subject(), 0, trace([latency_ms * MS] * count), facts={"warmup_steady": True} | facts)
    found = judged(made, PLAN)
    assert found.valid
    assert (found.judged, found.state) == (is_judged, State.VALID if is_judged else State.NOT_JUDGED)


def test_the_default_plan_is_judged() -> None:
    plan = RunPlan()
    made = run(subject(), 0, trace([20 * MS] * plan.min_count), facts={"warmup_steady": True})
    assert plan.min_count * 20 * MS == plan.min_duration_s * 1e9
    assert judged(made, plan).state is State.VALID


def test_what_was_not_judged_has_figures_and_is_never_called_valid() -> None:
    of = subject(planned_runs=2)
    short = [judged(run(of, at, trace([MS] * 200), facts={"warmup_steady": True}), PLAN) for at in range(2)]
    measured = summarise(of, short)
    assert measured.valid and measured.state is State.NOT_JUDGED
    assert measured.latency_ms.p50 == 1
    validity = measured.to_json()["validity"]
    assert (validity["valid"], validity["state"], validity["reason_codes"]) == (False, "not judged", ["not_judged"])
    assert "NOT JUDGED: its runs are too short" in summary_line(measured)
    console = Console(file=StringIO(), width=300)
    console.print(measurement_table([measured]))
    assert "not judged: xnli-multi" in console.file.getvalue()  # type: ignore[attr-defined]
    broken = summarise(of, [short[0], replace(short[1], reasons=(Reason(ReasonCode.THROTTLED, "x"),))])
    assert broken.state is State.NOT_VALID


def test_a_run_of_an_earlier_edgebench_was_judged_by_its_rules() -> None:
    old = replace(measured(), judged=None)
    assert old.state is State.VALID


def test_runs_with_different_clocks_are_no_valid_measurement() -> None:
    def at_clock(number: int, khz: int) -> Run:
        board = {"clock_allowed_khz": {"cpu0": khz}, "governor": "performance"}
        return run(subject(), number, trace([20 * MS] * 100), facts={"warmup_steady": True, "board": board})

    same = summarise(subject(), [at_clock(0, 1_500_000), at_clock(1, 1_500_000)])
    assert same.valid
    other = summarise(subject(), [at_clock(0, 1_500_000), at_clock(1, 1_400_000)])
    assert texts_of(other.reasons) == ["the allowed clock differed between runs"]
