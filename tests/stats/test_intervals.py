"""Percentiles and intervals against scipy, numpy and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgebench.stats import MINIMUM_COUNTS, early_stopping_estimate, quantiles, t_interval

LOADGEN = {0.9: 64, 0.95: 130, 0.97: 219, 0.99: 662, 0.999: 6636}


def test_minimum_counts_are_loadgens() -> None:
    assert {quantile: MINIMUM_COUNTS[quantile] for quantile in LOADGEN} == LOADGEN


@pytest.mark.parametrize(("quantile", "count"), LOADGEN.items())
def test_minimum_counts_follow_from_their_definition(quantile: float, count: int) -> None:
    def risk(observations: int) -> float:
        return float(stats.binom.cdf(1, observations, 1 - quantile))

    assert risk(count) <= 0.01 < risk(count - 1)


@pytest.mark.parametrize(("quantile", "count"), MINIMUM_COUNTS.items())
def test_a_percentile_is_stated_from_its_minimum_count_on(quantile: float, count: int) -> None:
    assert quantiles(np.arange(count, dtype=np.int64), [quantile]) != [None]
    assert quantiles(np.arange(count - 1, dtype=np.int64), [quantile]) == [None]


@given(st.lists(st.integers(1, 2**62), min_size=1, max_size=300))
def test_stated_percentiles_are_numpys_and_ordered(values: list[int]) -> None:
    array = np.asarray(values, np.int64)
    wanted = list(MINIMUM_COUNTS)
    found = quantiles(array, wanted)
    stated = [value for value in found if value is not None]
    assert stated == [np.quantile(array, q) for q in wanted if len(values) >= MINIMUM_COUNTS[q]]
    assert stated == sorted(stated)
    assert all(array.min() <= value <= array.max() for value in stated)


@given(
    st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=40),
    st.sampled_from([0.8, 0.9, 0.95, 0.99]),
)
def test_t_interval_is_scipys_on_the_log_scale(values: list[float], level: float) -> None:
    logs = np.log(values)
    interval = t_interval(np.asarray(values), level=level)
    assert interval is not None
    if logs.std() > 1e-9:
        expected = stats.t.interval(level, len(values) - 1, loc=logs.mean(), scale=stats.sem(logs))
        assert np.log(interval) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert interval[0] <= stats.gmean(values) * (1 + 1e-9)
    assert interval[1] >= stats.gmean(values) * (1 - 1e-9)


@given(st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=12), st.floats(1e-3, 1e3))
def test_t_interval_scales_with_its_unit(values: list[float], factor: float) -> None:
    interval, scaled = t_interval(np.asarray(values)), t_interval(np.asarray(values) * factor)
    assert interval is not None
    assert scaled == pytest.approx([bound * factor for bound in interval], rel=1e-6)


def test_t_interval_of_a_single_run_is_none() -> None:
    assert t_interval(np.array([1.0])) is None


@pytest.mark.parametrize("between", [0.01, 0.05])
def test_t_interval_over_per_run_medians_covers_its_level(between: float) -> None:
    """6 runs of 100 latencies with heavy tails and a spread between processes: the true median is inside in 95 %."""
    random = np.random.default_rng(20250102)
    sessions, runs, inferences = 2000, 6, 100
    shape = (sessions, runs, inferences)
    logs = random.normal(0, between, (sessions, runs, 1)) + random.normal(0, 0.03, shape)
    logs += (random.random(shape) < 0.02) * random.exponential(0.3, shape)
    centre = np.median(random.normal(0, 0.03, 10**6) + (random.random(10**6) < 0.02) * random.exponential(0.3, 10**6))
    medians = np.median(np.exp(logs), axis=2)
    intervals = [t_interval(each) for each in medians]
    covered = np.mean([low <= np.exp(centre) <= high for low, high in intervals])  # type: ignore[misc]
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize(("quantile", "count"), [(0.9, 64), (0.99, 662)])
def test_early_stopping_states_loadgens_order_statistic(quantile: float, count: int) -> None:
    """results.cc: with n >= h(t) + t for the largest t, the value at n - t of the sorted ones, counted from 0."""
    values = np.random.default_rng(1).permutation(np.arange(1, 5 * count + 1))
    assert early_stopping_estimate(values[: count - 1], quantile=quantile) is None
    assert early_stopping_estimate(values[:count], quantile=quantile) == (values[:count].max(), 0)
    n = len(values)
    over = max(t for t in range(n) if stats.binom.cdf(t, n, 1 - quantile) <= 0.01)
    assert early_stopping_estimate(values, quantile=quantile) == (n - over + 1, over - 1)


def test_early_stopping_is_a_bound_where_the_plain_percentile_is_not() -> None:
    random = np.random.default_rng(20261130)
    true = float(stats.lognorm(0.3).ppf(0.99))
    plain = bound = 0
    for _ in range(1000):
        values = (random.lognormal(0, 0.3, 662) * 1e6).astype(np.int64)
        found = early_stopping_estimate(values, quantile=0.99)
        assert found is not None
        plain += np.quantile(values, 0.99) < true * 1e6
        bound += found[0] < true * 1e6
    assert plain / 1000 > 0.4
    assert bound / 1000 <= 0.02
