"""What a board says can do nothing to a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebench.text import printable, ratio_text


@given(st.text(), st.integers(3, 600))
def test_whatever_comes_is_one_harmless_line(text: str, limit: int) -> None:
    line = printable(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert not any(unicodedata.category(character).startswith("C") for character in line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Raspberry Pi 4", "Raspberry Pi 4"),
        ("ünïcode 日本", "ünïcode 日本"),
        ("Pi\x1b[2J\nroot# ", "Pi [2J root#"),
        ("a\x9b31mred", "a 31mred"),  # C1's one-byte CSI
        ("safe\u202egnp.exe", "safe gnp.exe"),  # right-to-left override
        ("broken\udc80", "broken"),
        ("\u2028two\u2029lines", "two lines"),
        (7, "7"),
    ],
)
def test_what_is_harmful_becomes_a_space(text: object, line: str) -> None:
    assert printable(text) == line


def test_a_long_text_is_cut_visibly() -> None:
    assert printable("x" * 1000, 10) == "xxxxxxx..."


@pytest.mark.parametrize(
    ("ratio", "interval", "expected"),
    [
        (1.00149, None, "1.001"),
        (1.00149, (0.989, 1.014), "1.001"),
        (1.00149, (1.0011, 1.0019), "1.0015"),
        (1.0, (1.0, 1.0), "1.000"),
    ],
)
def test_a_ratio_has_three_decimals_and_a_fourth_where_its_interval_needs_it(
    ratio: float, interval: tuple[float, float] | None, expected: str
) -> None:
    assert ratio_text(ratio, interval) == expected
