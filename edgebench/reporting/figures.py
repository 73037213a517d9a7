"""Figures for people: three significant digits, and what an interval adds to them."""

from __future__ import annotations

import math

from edgebench.text import significant

_MB = 1e6
_ALIKE = 0.05  # by how much the halves of an interval may differ that is shown as symmetric


def rounded(value: float | None) -> str:
    """Return a measured figure with three significant digits; empty for None."""
    return "" if value is None else significant(value)


def with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    """Return a latency with its interval: `10.3 ±0.1`, or `194 (73.8 to 560)` where it is not symmetric.

    Half of an interval that is narrower than the figure's last digit has a digit of its own: `45.8 ±0.01`.
    """
    if value is None or interval is None:
        return rounded(value)
    below, above = value - interval[0], interval[1] - value
    if abs(above - below) <= _ALIKE * max(above, below):
        return f"{rounded(value)} ±{_half_width(rounded(value), (above + below) / 2)}"
    return f"{rounded(value)} ({rounded(interval[0])} to {rounded(interval[1])})"


def _half_width(figure: str, half: float) -> str:
    decimals = len(figure.partition(".")[2])
    if 0 < half < 0.5 * 10**-decimals:
        decimals = -math.floor(math.log10(half))
    return f"{half:,.{decimals}f}"


def megabytes(value: int | None) -> float | None:
    return value / _MB if value is not None else None
