"""Differences of scores over paired examples: exact tests, worked out apart from the code, and seeded simulations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, permutation_test

from benchmarks.score_verdicts import CASES, questions, sentences
from edgebench.errors import NotComparable
from edgebench.stats import PairedEstimate, estimate_difference, estimate_f1_difference
from edgebench.stats.mcnemar import ExactMcNemar
from edgebench.stats.sign_flips import SignFlips

# --- right or wrong ----------------------------------------------------------------------------------------------


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 500))
@settings(max_examples=40, deadline=None)
def test_the_test_is_mcnemars_and_the_interval_agrees_with_it(gained: int, lost: int, alike: int) -> None:
    found = ExactMcNemar(gained=gained, lost=lost, n=max(1, gained + lost + alike))
    p_value = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert found.p_different() == pytest.approx(p_value)
    for level in (0.9, 0.95, 1 - 0.05 / 16):
        low, high = found.interval(level)
        assert low <= found.effect <= high
        if abs(p_value - (1 - level)) > 1e-6:
            assert (low > 0 or high < 0) == (p_value <= 1 - level)


def test_the_interval_is_that_of_fay_and_lumbard() -> None:
    """By Monte Carlo, as exact2x2::mcnemarExactDP of R has it: quantiles of T (2 B - 1)."""
    random = np.random.default_rng(1)
    gained, changed, n, draws = 5, 15, 100, 400_000
    part = 2 * random.beta(gained, changed - gained + 1, draws) - 1
    low = min(
        np.quantile(random.beta(*shape, draws) * part, 0.025)
        for shape in ((changed, n - changed + 1), (changed + 1, n - changed))
    )
    found = ExactMcNemar(gained=gained, lost=changed - gained, n=n)
    assert found.interval(0.95)[0] == pytest.approx(100 * low, abs=0.1)


@pytest.mark.parametrize("truth", [-0.05, -0.01, 0.0, 0.03])
def test_the_interval_covers_as_promised_whatever_the_share_that_changes(truth: float) -> None:
    """All outcomes of 40 examples, each with its probability: no simulation."""
    n = 40
    for changes in (0.06, 0.2, 0.5):
        covered = 0.0
        for changed in range(n + 1):
            weight = binom.pmf(changed, n, changes)
            if weight < 1e-4:
                covered += weight
                continue
            for gained in range(changed + 1):
                found = ExactMcNemar(gained=gained, lost=changed - gained, n=n)
                if min(found.p_below(100 * truth), found.p_above(100 * truth)) > 0.025:
                    covered += weight * binom.pmf(gained, changed, (1 + truth / changes) / 2)
        assert covered >= 0.95


def test_all_lost_or_all_gained_is_no_division_by_zero() -> None:
    found = ExactMcNemar(gained=0, lost=15, n=15)
    assert found.interval(0.95)[0] == -100
    assert found.p_different() == pytest.approx(2 * 0.5**15)
    assert ExactMcNemar(gained=300, lost=0, n=5000).p_above(-1) < 1e-9


def test_which_test_is_taken_depends_on_the_examples() -> None:
    right, partly = np.array([0.0, 100.0, 100.0, 0.0]), np.array([0.0, 50.0, 100.0, 0.0])
    assert isinstance(estimate_difference(right, right), ExactMcNemar)
    assert isinstance(estimate_difference(right, right, clusters=[4, 3, 2, 1]), ExactMcNemar)
    shared = estimate_difference(right, right, clusters=[0, 0, 1, 1])
    assert isinstance(shared, SignFlips)
    assert "2 texts that examples share" in shared.method
    assert isinstance(estimate_difference(right, partly), SignFlips)
    with pytest.raises(NotComparable, match="4 examples have the texts of 2"):
        estimate_difference(right, right, clusters=[0, 1])


# --- flips -------------------------------------------------------------------------------------------------------


def test_the_flips_are_those_of_scipy() -> None:
    differences = np.random.default_rng(4).normal(8, 20, 12)
    found = estimate_difference(np.full(12, 50.0), 50 + differences)
    assert isinstance(found, SignFlips)
    exact = permutation_test((differences,), np.mean, permutation_type="samples", alternative="greater")  # all 4096
    assert found._p_of_flips(0.0, 1) == pytest.approx(exact.pvalue, abs=0.01)


def test_an_f1_is_flipped_by_swapping_the_two_sides() -> None:
    """The contributions add up to the difference, and flip exactly where the two sides of a sentence are swapped."""
    one, other = sentences(40, 0.6, 3.0, np.random.default_rng(6))

    def f1(counts: np.ndarray) -> float:
        return float(200 * counts[:, 0].sum() / counts[:, 1:].sum())

    found = estimate_f1_difference(one, other)
    assert isinstance(found, SignFlips)
    assert found.effect == pytest.approx(f1(other) - f1(one))
    swap = np.arange(40) % 3 == 0
    swapped = estimate_f1_difference(np.where(swap[:, None], other, one), np.where(swap[:, None], one, other))
    assert isinstance(swapped, SignFlips)
    signs = np.where(swap, -1, 1)
    assert np.allclose(swapped.sums / found.sums.std(), signs * found.sums / found.sums.std(), rtol=0.05, atol=0.02)


def test_no_family_is_too_large_for_the_number_of_flips() -> None:
    """2,000 examples that all gained: far beyond what 9,999 flips can show."""
    found = estimate_difference(np.full(2000, 40.0), 40 + np.random.default_rng(1).uniform(1, 9, 2000))
    assert found.p_different() < 1e-12


def test_many_examples_are_flipped_in_blocks() -> None:
    differences = np.random.default_rng(5).normal(0, 10, 6000)
    found = estimate_difference(np.full(6000, 50.0), 50 + differences.clip(-50, 50))
    low, high = found.interval(0.95)
    assert high - low == pytest.approx(2 * 1.96 * differences.std() / 6000**0.5, rel=0.06)


# --- known truths --------------------------------------------------------------------------------------------------


def rejected(draw: Callable[[np.random.Generator], PairedEstimate], alpha: float, *, repeats: int) -> int:
    random = np.random.default_rng(8)
    return sum(draw(random).p_different() <= alpha for _ in range(repeats))


@pytest.fixture
def few_flips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgebench.stats.sign_flips.FLIPS", 499)


@pytest.mark.usefixtures("few_flips")
@pytest.mark.parametrize("name", ["accuracy, 300", "60 paragraphs", "F1, 50 sentences"])
def test_a_difference_that_is_not_there_is_hardly_ever_found(name: str) -> None:
    """At 1 %, as a family needs it: 600 repeats have 6 on the mean; more than 14 would come in one case of 500."""
    (case,) = (case for case in CASES if case.name.startswith(name))
    assert rejected(partial(case.draw, 0.0), 0.01, repeats=600) <= 14


def test_questions_of_a_paragraph_are_not_independent() -> None:
    """What the test above would show if their paragraphs were left out of account."""

    def draw(random: np.random.Generator) -> PairedEstimate:
        return estimate_difference(*questions(60, 5, 0.15, 0.0, random)[:2])

    assert rejected(draw, 0.01, repeats=600) > 14


@pytest.mark.usefixtures("few_flips")
def test_a_difference_of_a_few_points_is_found() -> None:
    def draw(random: np.random.Generator) -> PairedEstimate:
        baseline, candidate, clusters = questions(240, 5, 0.15, -5.0, random)
        return estimate_difference(baseline, candidate, clusters=clusters)

    assert rejected(draw, 0.05, repeats=40) >= 30
