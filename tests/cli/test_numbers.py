"""Numbers and times in options."""

from __future__ import annotations

import pytest

from edgebench.cli.numbers import duration_s
from edgebench.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("20m", 1200), ("1h30m", 5400), ("2h", 7200), ("1h0m5s", 3605), (" 5m ", 300)]
)
def test_a_time_is_hours_minutes_and_seconds(text: str, seconds: int) -> None:
    assert duration_s(text, "--budget") == seconds


@pytest.mark.parametrize("text", ["", "20", "20x", "0s", "-5m", "30m1h", "1.5h", "m", "99999h"])
def test_anything_else_is_said_to_be_no_time(text: str) -> None:
    with pytest.raises(UsageError, match=r"--budget: .* is not a time; try 90s, 20m, 1h30m or 30d"):
        duration_s(text, "--budget")
