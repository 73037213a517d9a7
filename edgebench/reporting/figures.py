"""Figures for people: so many digits as they are worth."""

from __future__ import annotations

import math

_MB = 1e6
_ALIKE = 0.05  # by how much the halves of an interval may differ that is shown as symmetric


def rounded(value: float | None, *, digits: int = 3) -> str:
    """Return a figure with that many significant digits, at most four after the point; empty for None."""
    if value is None:
        return ""
    return f"{value:.{_decimals(value, digits)}f}"


def latency_text(value: float | None) -> str:
    return rounded(value, digits=4)


def _decimals(value: float, digits: int) -> int:
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    return min(4, max(0, digits - 1 - magnitude))


def with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    """Return a latency with its interval: `10.25 ±0.12`, or `194.2 (73.8 to 559.5)` where it is not symmetric."""
    if value is None or interval is None:
        return latency_text(value)
    decimals = _decimals(value, 4)
    below, above = value - interval[0], interval[1] - value
    if abs(above - below) <= _ALIKE * max(above, below):
        return f"{latency_text(value)} ±{(above + below) / 2:.{decimals}f}"
    return f"{latency_text(value)} ({interval[0]:.{decimals}f} to {interval[1]:.{decimals}f})"


def megabytes(value: int | None) -> float | None:
    return value / _MB if value is not None else None
