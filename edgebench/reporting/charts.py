"""Charts of one line for a cell of a table: a sparkline, and a span with its middle."""

from __future__ import annotations

import math
from collections.abc import Sequence

_STEPS = "▁▂▃▄▅▆▇█"
_LINE, _ENDS, _MIDDLE, _MISSING = "─", "├┤", "●", "·"
#: What stands for the signs where the encoding has no others.
_ASCII = str.maketrans({**dict(zip(_STEPS, "_.,-=+*#", strict=True)), "─": "-", "├": "|", "┤": "|", "●": "o", "·": " "})


def sparkline(values: Sequence[float | None], low: float, high: float) -> str:
    """Return a character for each value, the higher the greater; `·` for None.

    Args:
        low, high: the values of the lowest and the highest character; all are alike where these are.
    """
    return "".join(_MISSING if value is None else _STEPS[_place(value, low, high, len(_STEPS))] for value in values)


def span_bar(span: tuple[float, float, float], low: float, high: float, *, width: int = 20) -> str:
    """Return a line from the first value of a span to its last, with a dot at the middle one: `  ├──●────┤ `.

    Args:
        low, high: the values at the left and the right end of the bar.
        width: characters of the whole bar.
    """
    first, middle, last = (_place(value, low, high, width) for value in span)
    signs = [" "] * width
    signs[first : last + 1] = _LINE * (last + 1 - first)
    signs[first], signs[last], signs[middle] = _ENDS[0], _ENDS[1], _MIDDLE
    return "".join(signs)


def bar(value: float, highest: float, *, width: int = 20) -> str:
    """Return a bar from zero whose length is the value's share of the highest: `█████`; never empty."""
    return _STEPS[-1] * max(1, round(width * value / highest)) if highest > 0 and math.isfinite(value) else ""


def ascii_chart(chart: str) -> str:
    """Return a chart in ASCII."""
    return chart.translate(_ASCII)


def _place(value: float, low: float, high: float, count: int) -> int:
    if not high > low or not math.isfinite(value):
        return 0
    return min(count - 1, max(0, int((value - low) / (high - low) * count)))
