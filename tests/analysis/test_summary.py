"""From runs to a Measurement; the expected figures are worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebench.analysis import complete_passes, summarise
from edgebench.analysis.passes import has_no_complete_pass
from edgebench.figures import LatencySummary
from edgebench.measurement import Measurement
from edgebench.reason import texts_of
from edgebench.run import Memory, Run
from tests.sample_runs import MS, run, subject, trace

ONE_TO_HUNDRED = [n * MS for n in range(1, 101)]


def test_a_percentile_that_no_run_can_state_alone_is_that_of_all_valid_runs_together() -> None:
    of = subject(planned_runs=2)
    bad = run(of, 2, trace([900 * MS] * 100), reasons=("throttled during the run",))
    found = summarise(of, [run(of, 0, trace(ONE_TO_HUNDRED)), run(of, 1, trace(ONE_TO_HUNDRED)), bad]).latency_ms
    assert (found.min, found.mean, found.max) == (1.0, 50.5, 100.0)
    assert found.p50 == pytest.approx(50.5)
    pooled = sorted([*ONE_TO_HUNDRED, *ONE_TO_HUNDRED])
    assert found.p90 == pytest.approx(np.quantile(ONE_TO_HUNDRED, 0.9) / MS)
    assert found.p95 == pytest.approx(np.quantile(pooled, 0.95) / MS)
    assert (found.p97, found.p99, found.p999) == (None, None, None)  # 200 inferences: 219 and 662 are needed


def test_a_percentile_is_the_middle_of_its_own_interval() -> None:
    """Runs that spread by 10 %: a percentile of all latencies together lies outside the typical run's in 40 %."""
    random = np.random.default_rng(20261130)
    of = subject(planned_runs=6)
    for _ in range(20):
        logs = np.log(20 * MS) + random.normal(0, 0.1, (6, 1)) + random.normal(0, 0.03, (6, 700))
        runs = [run(of, at, trace([*kept])) for at, kept in enumerate(np.exp(logs).astype(np.int64))]
        found = summarise(of, runs).latency_ms
        for name in ("geomean", "p50", "p90", "p95", "p99"):
            value, (low, high) = getattr(found, name), getattr(found, f"{name}_ci")
            assert value == pytest.approx((low * high) ** 0.5)


def test_the_interval_comes_from_the_runs_medians() -> None:
    of = subject(planned_runs=3)
    runs = [run(of, at, trace([ms * MS] * 10)) for at, ms in enumerate((8, 10, 12))]
    low, high = summarise(of, runs).latency_ms.p50_ci or (0, 0)
    # log 8, log 10, log 12: mean 2.28895, sd 0.20308, t(0.975, 2) = 4.30265
    assert (low, high) == pytest.approx((5.9570, 16.3363), abs=2e-3)


def test_a_tail_has_an_interval_only_where_each_run_can_state_it() -> None:
    of = subject(planned_runs=2)
    long, short = trace(ONE_TO_HUNDRED * 2), trace(ONE_TO_HUNDRED)
    assert summarise(of, [run(of, 0, long), run(of, 1, long)]).latency_ms.p95_ci is not None
    mixed = summarise(of, [run(of, 0, long), run(of, 1, short)]).latency_ms
    assert mixed.p95 is not None
    assert mixed.p95_ci is None
    assert mixed.p90_ci is not None


def test_one_run_has_no_interval() -> None:
    of = subject(planned_runs=1)
    assert summarise(of, [run(of, 0, trace([MS] * 10))]).latency_ms.p50_ci is None


def test_latencies_of_zero_have_no_interval_and_do_no_harm() -> None:
    of = subject(planned_runs=2)
    found = summarise(of, [run(of, at, trace([0] * 5)) for at in range(2)]).latency_ms
    assert found.p50 == 0
    assert found.p50_ci is None
    assert (found.geomean, found.geomean_ci) == (None, None)


def test_throughput_counts_the_pauses_between_inferences() -> None:
    of = subject(planned_runs=2)
    fast = run(of, 0, trace([8 * MS] * 100, pause_ns=2 * MS), inferences=400, tokens=40_000)  # 0.998 s
    slow = run(of, 1, trace([18 * MS] * 100, pause_ns=2 * MS), inferences=400, tokens=40_000)  # 1.998 s
    found = summarise(of, [fast, slow])
    assert found.throughput_per_s == pytest.approx((400 / 0.998 + 400 / 1.998) / 2)
    assert found.tokens_per_s == pytest.approx((40_000 / 0.998 + 40_000 / 1.998) / 2)


def test_windows_show_when_throughput_fell() -> None:
    of = subject(planned_runs=1)
    slowing = trace([10 * MS] * 200 + [20 * MS] * 50)  # two seconds at 100 a second, one at 50
    assert summarise(of, [run(of, 0, slowing)]).throughput_windows == pytest.approx((100, 100, 50))


def test_an_inference_longer_than_a_window_counts_in_parts() -> None:
    of = subject(planned_runs=1)
    found = summarise(of, [run(of, 0, trace([2500 * MS] * 2))])
    assert found.throughput_windows == pytest.approx((0.4,) * 5)


TURN = {"batches": 3, "batch_sizes": [2, 2, 1], "batch_tokens": [20, 10, 5]}


def turns(latencies_ms: list[int], **facts: object) -> Run:
    """Return a run over the batches 0, 1, 2, 0, 1 ... of `TURN`."""
    of, count = subject(), len(latencies_ms)
    items = np.arange(count) % 3
    sizes, tokens = np.array(TURN["batch_sizes"])[items], np.array(TURN["batch_tokens"])[items]
    kept = replace(trace([ms * MS for ms in latencies_ms]), items=items)
    return run(of, 0, kept, inferences=int(sizes.sum()), tokens=int(tokens.sum()), facts=TURN | facts)


def test_every_input_weighs_the_same_in_every_figure() -> None:
    """A turn takes 200, 100 and 50 ms; the last one was cut after its longest input."""
    cut, whole = turns([200, 100, 50] * 4 + [200]), turns([200, 100, 50] * 4)
    of = subject(planned_runs=1)
    found, expected = summarise(of, [cut]), summarise(of, [whole])
    for figure in ("latency_ms", "throughput_per_s", "throughput_windows", "tokens_per_s", "run_latency_ms"):
        assert getattr(found, figure) == getattr(expected, figure), figure
    assert found.latency_ms.mean == pytest.approx(350 / 3)
    assert found.throughput_per_s == pytest.approx(5 / 0.35)
    assert found.tokens_per_s == pytest.approx(35 / 0.35)
    assert len(found.runs[0].latencies_ns) == 13  # what was measured stays


@pytest.mark.parametrize(
    "facts",
    [{"batches": None}, {"batch_sizes": None}, {"batch_tokens": [1, 2]}, {"batch_sizes": ["x"] * 3}, {"batches": 0}],
)
def test_of_a_run_that_tells_no_turn_everything_counts(facts: dict[str, object]) -> None:
    told_nothing = turns([200, 100, 50, 200], **facts)
    assert complete_passes(told_nothing) is told_nothing
    assert not has_no_complete_pass(told_nothing)


def test_a_run_without_a_whole_turn_is_known() -> None:
    assert has_no_complete_pass(turns([200, 100]))
    assert not has_no_complete_pass(turns([200, 100, 50]))
    assert has_no_complete_pass(turns([]))


@given(st.lists(st.integers(1, 3_000 * MS), min_size=1, max_size=60), st.integers(0, 50 * MS), st.integers(1, 8))
def test_windows_together_hold_every_input(latencies: list[int], pause_ns: int, batch: int) -> None:
    of = subject(planned_runs=1)
    kept = trace(latencies, pause_ns=pause_ns)
    found = summarise(of, [run(of, 0, kept, inferences=batch * len(latencies))])
    mean = sum(found.throughput_windows) / len(found.throughput_windows)
    assert mean == pytest.approx(found.throughput_per_s, rel=1e-6)


def test_memory_is_the_worst_of_the_valid_runs() -> None:
    of = subject(planned_runs=2)
    kept = trace([MS] * 10)
    runs = [
        run(of, 0, kept, memory=Memory(peak_rss=100, peak_pss=None)),
        run(of, 1, kept, memory=Memory(peak_rss=90, peak_pss=80)),
        run(of, 2, kept, memory=Memory(peak_rss=999, peak_pss=999), reasons=("disturbed",)),
    ]
    assert summarise(of, runs).memory_bytes == Memory(peak_rss=100, peak_pss=80)


def test_load_and_first_inference_are_the_runs_median() -> None:
    of = subject(planned_runs=3)
    runs = [run(of, at, trace([MS]), load_ns=ms * MS, first_ns=2 * ms * MS) for at, ms in enumerate((30, 10, 500))]
    found = summarise(of, runs)
    assert (found.load_ms, found.first_ms) == (30, 60)


def test_temperature_is_the_hottest_cpu_zone() -> None:
    of = subject(planned_runs=2)
    readings = {
        "temperature_mc/cpu-thermal": [50_000, 61_000],
        "temperature_mc/soc-thermal": [52_000, 55_000],
        "temperature_mc/nvme": [70_000, 80_000],
    }
    later = {"temperature_mc/cpu-thermal": [60_000, 63_500]}
    runs = [run(of, at, trace([MS] * 3, readings=seen)) for at, seen in enumerate((readings, later))]
    assert summarise(of, runs).temperature_c == {"start": 52.0, "max": 63.5}


def test_what_was_not_measured_is_none() -> None:
    of = subject(planned_runs=1)
    empty = run(of, 0, trace([]), load_ns=None, first_ns=None, memory=Memory(), reasons=("interrupted",))
    for found in (summarise(of, [empty]), summarise(of, [])):
        assert found.latency_ms == LatencySummary()
        assert found.throughput_windows == ()
        assert found.memory_bytes == Memory()
        figures = (found.throughput_per_s, found.tokens_per_s, found.load_ms, found.first_ms, found.temperature_c)
        assert figures == (None,) * 5
        assert not found.valid


def reasons_of(valid: int, invalid: int, planned: int) -> list[str]:
    of = subject(planned_runs=planned)
    good = [run(of, at, trace([MS] * 10)) for at in range(valid)]
    bad = [run(of, 50 + at, trace([MS] * 10), reasons=("too hot",)) for at in range(invalid)]
    measurement: Measurement = summarise(of, [*good, *bad])
    return texts_of(measurement.reasons)


def test_a_measurement_is_valid_once_it_has_its_planned_runs_whatever_had_to_be_repeated() -> None:
    assert reasons_of(valid=2, invalid=3, planned=2) == []


def test_too_few_valid_runs_are_said_with_the_reasons_of_the_others() -> None:
    assert reasons_of(valid=1, invalid=2, planned=3) == ["1 of 3 planned runs are valid", "too hot (2 runs)"]


def test_a_clock_that_jumps_by_centuries_costs_no_memory() -> None:
    of = subject(planned_runs=1)
    found = summarise(of, [run(of, 0, trace([2**62 + 1, 2**61]))])
    assert 1 <= len(found.throughput_windows) <= 100_000
