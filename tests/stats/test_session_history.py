"""When the sessions of a board may speak of a later one, and how often they are wrong, against known truths."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgebench.stats import Verdict, estimate_by_history, history_problem, pooled_deviation
from edgebench.testing.simulated_sessions import session_effects

DAY_S = 86_400.0
MARGIN = 0.03


def nightly(count: int) -> list[float]:
    return [DAY_S * day for day in range(count)]


def steady(count: int, sd: float = 0.005, seed: int = 3) -> np.ndarray:
    """Figures without an outlier: evenly spread, in an order of their own."""
    return np.random.default_rng(seed).permutation(sd * np.linspace(-1.5, 1.5, count))


def test_twelve_sessions_of_twelve_nights_may_speak() -> None:
    assert history_problem(steady(12), nightly(12), 12 * DAY_S) is None


def test_too_few_sessions_do_not() -> None:
    assert history_problem(steady(11), nightly(11), 11 * DAY_S) == "11 sessions of this file, 12 are needed"


def test_sessions_of_one_day_do_not() -> None:
    problem = history_problem(steady(12), [3600.0 * hour for hour in range(12)], DAY_S)
    assert problem == "the sessions are of 0.5 days, 3 are needed"


def test_two_afternoons_are_no_history() -> None:
    times = [*(60.0 * minute for minute in range(6)), *(4 * DAY_S + 60 * minute for minute in range(6))]
    assert "gap" in (history_problem(steady(12), times, 5 * DAY_S) or "")


@pytest.mark.parametrize("at_day", [40.0, -20.0])
def test_a_session_long_after_or_before_the_history_is_not_spoken_of(at_day: float) -> None:
    problem = history_problem(steady(12), nightly(12), at_day * DAY_S)
    assert problem is not None
    assert "gap" in problem


def test_a_figure_far_from_the_others_silences_them() -> None:
    logs = steady(12)
    logs[4] = 0.2
    assert history_problem(logs, nightly(12), 12 * DAY_S) == "1 of 12 sessions lie far from the others"


def test_equal_figures_are_no_measurements() -> None:
    assert "same figure" in (history_problem(np.zeros(12), nightly(12), 12 * DAY_S) or "")


def test_the_interval_is_one_of_prediction_widened() -> None:
    logs = np.array([0.0, 0.01, -0.01, 0.02, -0.02, 0.005, -0.005, 0.0, 0.01, -0.01, 0.015, -0.015])
    found = estimate_by_history(logs, 0.05, level=0.95)
    t_of_11_df = 2.200985
    assert found.half_width == pytest.approx(1.3 * t_of_11_df * float(logs.std(ddof=1)) * math.sqrt(13 / 12))
    assert found.log_ratio == pytest.approx(0.05 - float(logs.mean()))
    assert found.sessions == 12


def test_equivalence_comes_first_and_what_is_neither_is_left_open() -> None:
    logs = steady(12, sd=0.002)
    half = estimate_by_history(logs, 0.0, level=0.95).half_width
    assert estimate_by_history(logs, 1.5 * half, level=0.95).verdict(MARGIN) is Verdict.EQUIVALENT
    assert estimate_by_history(logs, 0.05, level=0.95).verdict(MARGIN) is Verdict.HIGHER
    assert estimate_by_history(logs, -0.05, level=0.95).verdict(MARGIN) is Verdict.LOWER
    assert estimate_by_history(steady(12, sd=0.008), 0.015, level=0.95).verdict(MARGIN) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("correlation", [0.0, 0.7, 0.9])
@pytest.mark.parametrize("sd", [0.003, 0.01, 0.02])
def test_equal_sessions_are_seldom_called_different(sd: float, correlation: float) -> None:
    count, comparisons = 12, 500
    false = 0
    for seed in range(comparisons):
        figures = session_effects(count + 1, sd=sd, correlation=correlation, seed=seed)
        logs, last = figures[:-1], float(figures[-1])
        found = estimate_by_history(logs, last, level=0.95)
        if history_problem(logs, nightly(count), count * DAY_S) is not None or not found.is_narrow(MARGIN):
            continue
        false += found.verdict(MARGIN) in (Verdict.LOWER, Verdict.HIGHER)
    assert false <= 0.05 * comparisons


def test_held_against_one_session_instead_of_their_mean_too_many_would_be_wrong() -> None:
    """Shows that the simulation can see a wrong rule: 5 % of 1,500 and three standard deviations of chance are 100."""
    count, comparisons = 12, 1500
    false = 0
    for seed in range(comparisons):
        figures = session_effects(count + 1, sd=0.01, correlation=0.9, seed=seed)
        found = estimate_by_history(figures[:-1], float(figures[-1]), level=0.95)
        false += found.is_narrow(MARGIN) and abs(figures[-1] - figures[0]) > found.half_width
    assert false > 100


def test_a_difference_is_seen_and_one_of_the_margin_is_not_called_equivalent() -> None:
    count, comparisons = 12, 400
    seen = equivalent = spoken = 0
    for seed in range(comparisons):
        figures = session_effects(count + 1, sd=0.005, correlation=0.0, seed=seed)
        logs, last = figures[:-1], float(figures[-1])
        if history_problem(logs, nightly(count), count * DAY_S) is not None:
            continue
        spoken += 1
        seen += estimate_by_history(logs, last + math.log(1.05), level=0.95).verdict(MARGIN) is Verdict.HIGHER
        at_margin = estimate_by_history(logs, last + math.log1p(MARGIN), level=0.95)
        equivalent += at_margin.verdict(MARGIN) is Verdict.EQUIVALENT
    assert seen > 0.95 * spoken
    assert equivalent <= 0.05 * spoken


def test_the_difference_of_sessions_is_pooled_within_files() -> None:
    assert pooled_deviation([[0.0], [1.0], [0.0, 0.1]]) is None
    found = pooled_deviation([[0.0, 0.1], [5.0, 5.1], [9.0]])
    assert found == (pytest.approx(0.1 / math.sqrt(2)), 4)
