"""Interleaved pairs: time two things alternately and estimate their ratio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio of two quantities over `pairs` pairs: geometric mean with its 95 % t-interval."""

    value: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.value:.4f} (95 % {self.low:.4f} to {self.high:.4f}, {self.pairs} pairs)"


def interleaved(ours: Callable[[], float], theirs: Callable[[], float], *, pairs: int) -> Ratio:
    """Return the ratio ours / theirs of `pairs` pairs after one discarded pair; every second one is reversed."""
    ours(), theirs()
    logs = []
    for number in range(pairs):
        if number % 2:
            other, own = theirs(), ours()
        else:
            own, other = ours(), theirs()
        logs.append(np.log(own / other))
    middle = float(np.mean(logs))
    half = float(stats.t.ppf(0.975, pairs - 1) * np.std(logs, ddof=1) / np.sqrt(pairs))
    return Ratio(float(np.exp(middle)), float(np.exp(middle - half)), float(np.exp(middle + half)), pairs)
