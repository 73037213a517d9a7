"""When warm-up has ended: latencies no longer drift, and are known not to fall any more, as far as their noise allows.

A start may be slow for a long time, e.g. until the kernel has given the model huge pages. Such a fall is too slow to
show between neighbouring windows: a line through many of them must show it.

Models that alternate are compared by the ratio of their latencies, inference by inference. For them, it is the ratio
that must not drift, and what slows all models alike does not count.
"""

from statistics import median
from typing import List, NamedTuple, Sequence

WINDOWS = 6  # the newer half is compared with the older half
_SAME = 0.01  # a relative difference of medians that is no drift, whatever the order of the windows
#: Without a sign of a fall for a while, warm-up ends after so long, however much noise hides: more would cost more than
#: it shows.
_PATIENCE_S = 5.0
_PATIENCE_RATIO_S = 8.0  # their noise hides more
_QUIET_S = 3.0
#: A fall that has ended is in the older windows only, so several parts of the newest windows are looked at.
_PARTS = (0.85, 2 / 3, 1 / 2, 1 / 3)
_BLOCKS = 8
_EVERY = 5  # windows between two looks: a look takes time that the model does not run
_KNOWN = 1.4  # standard errors: one side of 90 %, of six degrees of freedom
_CLEAR = 2.0
_CLEAR_RATIO = 2.5  # the same chance for noise to look like a drift, where a drift may be a fall or a rise


class _Line(NamedTuple):
    """By how much latencies fall in a second, as a share of them, and the standard error."""

    fall: float
    error: float


class WarmUp:
    """The windows of a model's warm-up so far.

    `most_ppm_per_s`: what latencies may fall by, in millionths a second; 0: anything, if neighbouring windows agree.
    `is_ratio`: they are ratios of two models' latencies, which may not rise by more, either.
    """

    def __init__(self, most_ppm_per_s: int, *, is_ratio: bool = False) -> None:
        self._most = most_ppm_per_s / 1e6
        self._is_ratio = is_ratio
        self._times_s: List[float] = []
        self._medians: List[float] = []
        self._is_known = False
        self._drifted_at_s = -_QUIET_S

    def add(self, at_ns: int, latencies: Sequence[Sequence[float]]) -> None:
        """Add a window: when it ended, since warm-up began, and the latencies of the only model."""
        (of_model,) = latencies
        self._times_s.append(at_ns / 1e9)
        self._medians.append(median(of_model))
        if self._most and len(self._medians) % _EVERY == 0 and len(self._medians) >= _BLOCKS:
            self._look()

    def has_ended(self) -> bool:
        """Return whether latencies no longer drift, and are known not to fall."""
        if not has_settled(self._medians):
            return False
        if not self._most or self._is_known:
            return True
        patience_s = _PATIENCE_RATIO_S if self._is_ratio else _PATIENCE_S
        return not self._is_drifting() and self._times_s[-1] >= patience_s

    def is_steady(self) -> bool:
        """Return whether nothing shows that latencies drift: what is known of a warm-up that reached its bound."""
        return has_settled(self._medians) and not self._is_drifting()

    def _look(self) -> None:
        count = len(self._medians)
        sizes = [size for size in (round(part * count) for part in _PARTS) if size >= _BLOCKS]
        lines = [_line(self._times_s[-size:], self._medians[-size:]) for size in sizes]
        self._is_known = any(self._drift(line) + _KNOWN * line.error <= self._most for line in lines)
        clear = _CLEAR_RATIO if self._is_ratio else _CLEAR
        if any(self._drift(line) > max(self._most, clear * line.error) for line in lines):
            self._drifted_at_s = self._times_s[-1]

    def _is_drifting(self) -> bool:
        return self._times_s[-1] - self._drifted_at_s < _QUIET_S

    def _drift(self, line: _Line) -> float:
        return abs(line.fall) if self._is_ratio else max(0.0, line.fall)


class RotationWarmUp:
    """The windows of a warm-up of models that alternate: the ratios of each model's latencies to the first model's.

    `most_ppm_per_s`: what a ratio may drift by, in millionths a second; 0: anything, if neighbouring windows agree.
    """

    def __init__(self, most_ppm_per_s: int) -> None:
        self._most = most_ppm_per_s
        self._ratios: List[WarmUp] = []

    def add(self, at_ns: int, latencies: Sequence[Sequence[float]]) -> None:
        """Add a window: when it ended, since warm-up began, and the latencies of each model, rotation by rotation."""
        first, *others = latencies
        if not self._ratios:
            self._ratios = [WarmUp(self._most, is_ratio=True) for _ in others]
        for ratio, other in zip(self._ratios, others):
            ratio.add(at_ns, [[mine / its for mine, its in zip(other, first)]])

    def has_ended(self) -> bool:
        """Return whether no ratio drifts any more, as far as its noise allows."""
        return bool(self._ratios) and all(ratio.has_ended() for ratio in self._ratios)

    def is_steady(self) -> bool:
        """Return whether nothing shows that a ratio drifts."""
        return bool(self._ratios) and all(ratio.is_steady() for ratio in self._ratios)


def has_settled(medians: Sequence[float]) -> bool:
    """Return whether the medians no longer drift: the newer ones are neither all above nor all below the older ones."""
    if len(medians) < WINDOWS:
        return False
    half = WINDOWS // 2
    older, newer = medians[-WINDOWS:-half], medians[-half:]
    overlap = min(older) <= max(newer) and min(newer) <= max(older)
    return overlap or abs(median(newer) - median(older)) <= _SAME * median(older)


def _line(times_s: Sequence[float], medians: Sequence[float]) -> _Line:
    """Fit a line through the medians of eight blocks of windows.

    The error is that of the blocks, in which noise that lasts longer than a window counts fully, or that of independent
    windows: eight blocks may lie on a line by chance.
    """
    count = len(medians)
    borders = [count * block // _BLOCKS for block in range(_BLOCKS + 1)]
    spans = [slice(begin, end) for begin, end in zip(borders, borders[1:])]
    times = [sum(times_s[span]) / len(times_s[span]) for span in spans]
    values = [float(median(medians[span])) for span in spans]
    mean_time, mean_value = sum(times) / _BLOCKS, sum(values) / _BLOCKS
    away = [time - mean_time for time in times]
    spread = sum(each * each for each in away)
    if not spread or mean_value <= 0:
        return _Line(0.0, 0.0)
    slope = sum(each * value for each, value in zip(away, values)) / spread
    rest = sum((value - mean_value - slope * each) ** 2 for each, value in zip(away, values))
    of_blocks = rest / (_BLOCKS - 2)
    step = 1.4826 * median(abs(after - before) for before, after in zip(medians, medians[1:]))  # outliers don't count
    of_windows = step * step / 2 / (count / _BLOCKS)
    return _Line(-slope / mean_value, (max(of_blocks, of_windows) / spread) ** 0.5 / mean_value)
