"""The order of runs."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebench.errors import ConfigError
from edgebench.measure.scheduler import order_of_runs

CELLS, RUNS, SEEDS = st.integers(0, 8), st.integers(0, 13), st.integers(0, 2**32)


@given(CELLS, RUNS, SEEDS)
def test_every_cell_has_exactly_its_runs(cells: int, runs: int, seed: int) -> None:
    expected = dict.fromkeys(range(cells), runs) if runs else {}
    assert Counter(order_of_runs(cells, runs, seed=seed)) == expected


@given(CELLS, RUNS, SEEDS)
def test_blocks_of_two_rounds_are_palindromes_and_an_odd_last_round_is_half_of_one(
    cells: int, runs: int, seed: int
) -> None:
    order = order_of_runs(cells, runs, seed=seed)
    rounds = [order[at : at + cells] for at in range(0, len(order), cells)] if cells else []
    assert all(sorted(each) == list(range(cells)) for each in rounds)
    for forward, backward in zip(rounds[::2], rounds[1::2], strict=False):
        assert backward == forward[::-1]


@given(st.integers(1, 8), st.integers(1, 6), SEEDS)
def test_a_linear_drift_cancels_over_whole_blocks(cells: int, blocks: int, seed: int) -> None:
    order = order_of_runs(cells, 2 * blocks, seed=seed)
    mean_position = [sum(at for at, cell in enumerate(order) if cell == each) / (2 * blocks) for each in range(cells)]
    assert mean_position == pytest.approx([mean_position[0]] * cells)


@given(CELLS, RUNS, SEEDS)
def test_the_seed_decides_the_order(cells: int, runs: int, seed: int) -> None:
    assert order_of_runs(cells, runs, seed=seed) == order_of_runs(cells, runs, seed=seed)


def test_either_cell_comes_first_in_about_half_of_the_blocks() -> None:
    first = Counter(order_of_runs(2, 2, seed=seed)[0] for seed in range(1000))
    assert 430 <= first[0] <= 570


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="negative"):
        order_of_runs(2, -1, seed=0)
