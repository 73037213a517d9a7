"""What the paired bootstrap makes of known truths: coverage, false alarms, false "comparable", power.

    python -m benchmarks.score_verdicts [--repeats 2000]

Simulated, seeded. Of `n` examples a share changes from one file to the other: right or wrong as a whole (accuracy), or
by an amount drawn from a normal distribution (F1). The true difference is 0, or just the margin of 1 point.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgebench.analysis import SCORE_MARGIN
from edgebench.stats import estimate_difference

#: Examples, share of them that changes.
ACCURACY = ((30, 0.1), (200, 0.05), (1000, 0.02), (1000, 0.1), (5000, 0.1))
F1 = ((200, 0.3), (1000, 0.3), (1000, 0.05))
_F1_SPREAD = 15.0


def accuracy(
    n: int, share: float, difference: float, random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what n examples score with both files, the candidate's mean higher by `difference` points."""
    gained, lost = (share + difference / 100) / 2, (share - difference / 100) / 2
    kind = random.choice(3, p=[gained, lost, 1 - gained - lost], size=n)
    return np.where(kind == 0, 0.0, 100.0), np.where(kind == 1, 0.0, 100.0)


def f1(
    n: int, share: float, difference: float, random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As `accuracy`, for examples that are in parts right; none is near enough to 0 or 100 to be cut there."""
    baseline = np.full(n, 50.0)
    changed = random.random(n) < share
    return baseline, baseline + np.where(changed, random.normal(difference / share, _F1_SPREAD, n).clip(-50, 50), 0.0)


def table(repeats: int) -> Iterator[str]:
    """Yield the rows of the report."""
    yield f"{'':10}{'n':>6} {'changed':>8} {'truth':>6} {'covers':>8} {'differs':>8} {'comparable':>11}"
    for name, draw, cases in (("accuracy", accuracy, ACCURACY), ("F1", f1, F1)):
        for n, share in cases:
            for truth in (0.0, -SCORE_MARGIN):
                covers = differs = comparable = 0
                for seed in range(repeats):
                    found = estimate_difference(*draw(n, share, truth, np.random.default_rng(seed)), seed=seed)
                    low, high = found.interval(0.95)
                    covers += low <= truth <= high
                    differs += found.p_different() <= 0.05
                    comparable += found.p_equivalent(SCORE_MARGIN) <= 0.05
                shares = (f"{100 * count / repeats:.1f} %" for count in (covers, differs, comparable))
                yield f"{name:10}{n:6} {100 * share:6.0f} % {truth:+6.1f} {next(shares):>8} {next(shares):>8} " + (
                    f"{next(shares):>11}"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2000)
    for line in table(parser.parse_args().repeats):
        print(line, flush=True)


if __name__ == "__main__":
    main()
