"""Figures for people: so many digits as they are worth."""

from __future__ import annotations

import math

_MB = 1e6


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


def with_half_width(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return latency_text(value)
    return f"{latency_text(value)} ±{(interval[1] - interval[0]) / 2:.{_decimals(value, 4)}f}"


def megabytes(value: int | None) -> float | None:
    return value / _MB if value is not None else None
