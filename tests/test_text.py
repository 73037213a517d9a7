"""What a board says can do nothing to a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebench.text import printable


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
