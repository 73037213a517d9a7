"""The search for the layers that a quality floor needs, on errors that add up."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebench.export.floor_search import Choice, FloorSearch, Found, Trial


def choice(layer: str, *, precision: str = "float32", bytes: int = 100) -> Choice:
    return Choice(layer=layer, weights=(layer,), precision=precision, bytes=bytes)


def searched(
    choices: list[Choice], gains: dict[Choice, float], floor: float, *, held_out_worse_by: float = 0.0
) -> tuple[Found, list[frozenset[Choice]]]:
    """Return what is found where a file's value is 1 less the losses of what is not kept, and the sets measured."""
    levels: dict[str, list[Choice]] = {}
    for each in choices:
        levels.setdefault(each.layer, []).append(each)
    lost = sum(max(gains[each] for each in level) for level in levels.values())
    tried: list[frozenset[Choice]] = []

    def measure(kept: frozenset[Choice]) -> Trial:
        tried.append(kept)
        assert len({each.layer for each in kept}) == len(kept)
        loss = lost - sum(gains[each] for each in kept)
        return Trial(value=1 - loss, error=loss)

    def measure_held_out(kept: frozenset[Choice]) -> float:
        loss = lost - sum(gains[each] for each in kept)
        return 1 - loss - (held_out_worse_by if loss > 1e-9 else 0)

    return FloorSearch(choices, measure, measure_held_out, floor).run(), tried


def test_the_one_layer_that_loses_is_kept_alone() -> None:
    choices = [choice(f"layer.{number}") for number in range(20)]
    gains = dict.fromkeys(choices, 1e-5) | {choices[13]: 0.1}
    found, _ = searched(choices, gains, 0.99)
    assert found.kept == (choices[13],)
    assert found.after.search >= 0.99 > found.without[choices[13]].value
    assert not found.held_out_decided


def test_nothing_is_kept_where_the_floor_is_reached_already() -> None:
    choices = [choice("a"), choice("b")]
    found, _ = searched(choices, dict.fromkeys(choices, 1e-4), 0.99)
    assert found.is_reached and found.kept == ()


def test_of_two_layers_that_gain_the_same_the_smaller_is_kept() -> None:
    large, small = choice("a", bytes=1000), choice("b", bytes=10)
    found, _ = searched([large, small], {large: 0.01, small: 0.01}, 0.99)
    assert found.kept == (small,)


def test_inputs_held_out_ask_for_more_than_the_search() -> None:
    choices = [choice(f"layer.{number}") for number in range(5)]
    gains = dict(zip(choices, (0.05, 0.02, 0.01, 0.005, 0.001), strict=True))
    alone, _ = searched(choices, gains, 0.98)
    both, _ = searched(choices, gains, 0.98, held_out_worse_by=0.015)
    assert set(alone.kept) < set(both.kept)
    assert both.held_out_decided and both.after.least >= 0.98
    assert all(both.without[each].value < 0.98 for each in both.kept)
    assert any(both.without[each].is_held_out for each in both.kept)


def test_a_floor_out_of_reach_names_the_best_there_was() -> None:
    choices = [choice("a"), choice("b")]
    found, _ = searched(choices, dict.fromkeys(choices, 0.01), 1.01)
    assert not found.is_reached
    assert set(found.kept) == set(choices) and found.after.search == pytest.approx(1)


def test_a_table_is_kept_in_eight_bits_where_these_suffice() -> None:
    eight, floats = choice("words", precision="int8", bytes=10), choice("words", bytes=70)
    other = choice("layer.0", bytes=5)
    gains = {eight: 0.03, floats: 0.031, other: 0.001}
    found, _ = searched([eight, floats, other], gains, 0.99)
    assert found.kept == (eight,)
    found, _ = searched([eight, floats, other], gains, 0.9995)
    assert set(found.kept) == {floats, other}


@given(
    st.lists(st.tuples(st.floats(0, 0.05), st.integers(1, 1000)), min_size=1, max_size=8),
    st.floats(0.8, 1),
    st.floats(0, 0.02),
)
def test_no_layer_that_is_kept_can_be_left_out(
    layers: list[tuple[float, int]], floor: float, held_out_worse_by: float
) -> None:
    choices = [choice(f"layer.{number}", bytes=size) for number, (_, size) in enumerate(layers)]
    gains = dict(zip(choices, (gain for gain, _ in layers), strict=True))
    found, tried = searched(choices, gains, floor, held_out_worse_by=held_out_worse_by)
    assert len(tried) == len(set(tried)) == found.trials  # nothing is measured twice
    if not found.is_reached:
        assert found.without == {}
        return
    assert found.after.least >= floor
    for each in found.kept:
        assert found.without[each].value < floor


@given(st.lists(st.floats(0, 0.05), min_size=1, max_size=7), st.floats(0.8, 0.999))
def test_where_layers_cost_the_same_no_smaller_number_reaches_the_floor(losses: list[float], floor: float) -> None:
    choices = [choice(f"layer.{number}") for number in range(len(losses))]
    gains = dict(zip(choices, losses, strict=True))
    found, _ = searched(choices, gains, floor)
    total = sum(losses)
    fewest = next(
        (
            count
            for count in range(len(choices) + 1)
            if any(1 - (total - sum(some)) >= floor - 1e-12 for some in combinations(losses, count))
        ),
        None,
    )
    assert found.is_reached
    assert fewest is not None and len(found.kept) in (fewest, fewest + 1)  # one more only where a sum is rounded
    assert len(found.kept) == fewest or abs(1 - total + sum(sorted(losses)[-fewest:] or [0]) - floor) < 1e-9
