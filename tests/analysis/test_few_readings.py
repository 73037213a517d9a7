"""A board whose temperature was not read while inferences were timed, or hardly: nothing is said about it."""

from __future__ import annotations

import pytest

from edgebench.analysis.board_rules import _changed_by


@pytest.mark.parametrize(
    ("values", "changed"),
    [([], 0), ([50_000], 0), ([50_000, 60_000, 61_000], 0), ([50_000, 50_000, 60_000, 61_000], 10_000)],
)
def test_too_few_readings_show_no_change(values: list[int], changed: int) -> None:
    assert _changed_by(values) == changed
