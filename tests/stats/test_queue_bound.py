"""Queries that wait in a queue are correlated: how often a rate whose p99 is just at the bound is confirmed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.queues import BOUND, BOUNDARIES, SERVICE_NS, early_stopping, run
from edgebench.stats import queue_bound_holds
from edgebench.stats.queue_bound import variance_inflation

Runs = list["np.ndarray[Any, np.dtype[np.int64]]"]


def passes(rule: Callable[[Runs], bool], rate: float, run_sd: float, *, queries: int = 1_667) -> float:
    repeats = 150
    random = np.random.default_rng(3)
    return float(np.mean([rule([run(rate, queries, run_sd, random) for _ in range(6)]) for _ in range(repeats)]))


def holds(runs: Runs) -> bool:
    return queue_bound_holds(runs, BOUND * SERVICE_NS)


@pytest.mark.parametrize(("run_sd", "rate"), BOUNDARIES)
def test_a_rate_just_at_the_bound_is_hardly_ever_confirmed(run_sd: float, rate: float) -> None:
    """The truth is at most 2 %: of 150 repeats, more than 8 would come in one case of 400."""
    assert passes(holds, rate, run_sd) <= 8 / 150
    assert passes(early_stopping, rate, run_sd) > 0.1  # what a count of independent queries says


def test_a_rate_well_below_is_confirmed() -> None:
    assert passes(holds, 0.75 * BOUNDARIES[0][1], 0.0) > 0.85


def test_few_queries_confirm_no_rate_near_the_bound() -> None:
    assert passes(holds, BOUNDARIES[0][1], 0.0, queries=112) <= 8 / 150


def test_one_run_or_next_to_no_queries_confirm_nothing() -> None:
    quiet = np.full(10_000, 1_000)
    assert not queue_bound_holds([], 1e6)
    assert not queue_bound_holds([quiet], 1e6)
    assert not queue_bound_holds([quiet[:7]] * 6, 1e6)
    assert queue_bound_holds([quiet] * 6, 1e6)
    assert not queue_bound_holds([quiet] * 6, 999)


def test_one_slow_run_of_six_is_not_averaged_away() -> None:
    """All queries over the bound, 0.6 % of them, are of one run."""
    random = np.random.default_rng(1)
    runs = [random.integers(1_000, 2_000, 1_667) for _ in range(6)]
    runs[3][::28] = 9_000
    assert not queue_bound_holds(runs, 5_000)


def test_the_variance_inflation_is_that_of_clumps() -> None:
    """Marked queries come in clumps of five: the variance of their share is five times as large."""
    random = np.random.default_rng(2)
    clumps = np.repeat(random.random((6, 20_000)) < 0.05, 5, axis=1)
    assert variance_inflation(clumps, 100) == pytest.approx(5, rel=0.2)
    assert variance_inflation(random.random((6, 100_000)) < 0.05, 100) == pytest.approx(1, abs=0.2)
    assert variance_inflation(np.zeros((6, 100), bool), 4) == 1
