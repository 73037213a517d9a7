"""How score verdicts perform on known true values: families of 16, coverage, false "comparable", power.

    python -m benchmarks.score_verdicts [--families 1000] [--repeats 2000]

Simulated, seeded. Accuracy: a share of the examples' answers changes from one file to the other. Questions: those of a
paragraph change together, in one direction (intra-class correlation 0.3). F1: each sentence has up to six entities; a
share of the sentences is tagged anew. The true difference is 0, the margin of 1 point, or a few points.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.tables import print_markdown
from edgebench.analysis import SCORE_MARGIN
from edgebench.stats import (
    LEVEL,
    PairedEstimate,
    Verdict,
    estimate_difference,
    estimate_f1_difference,
    holm_alphas,
    judge_all,
)

Generator = np.random.Generator
Figures = NDArray[np.float64]
FAMILY = 16
_CHANGED_OF_PARAGRAPH = 0.3  # of the questions of a paragraph that changes; the correlation of their differences, too


def accuracy(n: int, share: float, difference: float, random: Generator) -> tuple[Figures, Figures]:
    """Return the scores of n examples with both files, the candidate's mean higher by `difference` points."""
    gained, lost = (share + difference / 100) / 2, (share - difference / 100) / 2
    kind = random.choice(3, p=[gained, lost, 1 - gained - lost], size=n)
    return np.where(kind == 0, 0.0, 100.0), np.where(kind == 1, 0.0, 100.0)


def questions(
    paragraphs: int, of_each: int, share: float, difference: float, random: Generator, *, partly: bool = False
) -> tuple[Figures, Figures, list[int]]:
    """Return the scores of questions with both files, and the paragraph of each.

    share: of all questions that change. partly: a changed one changes by 20 to 100 points, as F1 of words does.
    """
    changes = share / _CHANGED_OF_PARAGRAPH
    size = 60.0 if partly else 100.0
    up = (changes + difference / size / _CHANGED_OF_PARAGRAPH) / 2
    kind = random.choice(3, p=[up, changes - up, 1 - changes], size=(paragraphs, 1))
    changed = random.random((paragraphs, of_each)) < _CHANGED_OF_PARAGRAPH
    by = random.uniform(20, 100, (paragraphs, of_each)) if partly else 100.0
    baseline = np.where(changed & (kind == 0), 100.0 - by, 100.0)
    candidate = np.where(changed & (kind == 1), 100.0 - by, 100.0)
    return baseline.ravel(), candidate.ravel(), np.repeat(np.arange(paragraphs), of_each).tolist()


def sentences(n: int, share: float, difference: float, random: Generator) -> tuple[NDArray[np.int64], ...]:
    """Return the counts of n sentences with both files; the candidate's F1 is higher by about `difference` points."""
    expected = random.binomial(6, 0.35, n)
    skill = random.beta(6, 2, n)

    def tagged(better: float) -> NDArray[np.int64]:
        correct = random.binomial(expected, np.clip(skill + better, 0, 1))
        return np.stack([correct, correct + random.binomial(expected - correct + 1, 0.5), expected], axis=1)

    baseline, again = tagged(0.0), tagged(difference / 100 / share)
    return baseline, np.where(random.random((n, 1)) < share, again, baseline)


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of examples: its name, and what draws an estimate whose true difference is so many points."""

    name: str
    draw: Callable[[float, Generator], PairedEstimate]


def _accuracy(n: int, share: float, difference: float, random: Generator) -> PairedEstimate:
    return estimate_difference(*accuracy(n, share, difference, random))


def _questions(
    paragraphs: int, of_each: int, share: float, difference: float, random: Generator, *, partly: bool = False
) -> PairedEstimate:
    baseline, candidate, clusters = questions(paragraphs, of_each, share, difference, random, partly=partly)
    return estimate_difference(baseline, candidate, clusters=clusters, seed=int(random.integers(1 << 32)))


def _sentences(n: int, share: float, difference: float, random: Generator) -> PairedEstimate:
    return estimate_f1_difference(*sentences(n, share, difference, random), seed=int(random.integers(1 << 32)))


CASES = (
    Case("accuracy, 300 examples, 5 % change", partial(_accuracy, 300, 0.05)),
    Case("accuracy, 1000 examples, 2 % change", partial(_accuracy, 1000, 0.02)),
    Case("accuracy, 1000 examples, 10 % change", partial(_accuracy, 1000, 0.1)),
    Case("accuracy, 5000 examples, 10 % change", partial(_accuracy, 5000, 0.1)),
    Case("60 paragraphs of 5 questions, 15 % change", partial(_questions, 60, 5, 0.15)),
    Case("240 paragraphs of 5 questions, 15 % change", partial(_questions, 240, 5, 0.15)),
    Case("240 of 5, 15 % change partly", partial(_questions, 240, 5, 0.15, partly=True)),
    Case("F1, 50 sentences, 30 % anew", partial(_sentences, 50, 0.3)),
    Case("F1, 200 sentences, 30 % anew", partial(_sentences, 200, 0.3)),
    Case("F1, 1000 sentences, 10 % anew", partial(_sentences, 1000, 0.1)),
)
POWER_AT = (-2.0, -3.0, -5.0)  # points


def false_in_a_family(case: Case, families: int) -> tuple[float, float]:
    """Return the shares of families of 16 with a false better or worse, and with a false "comparable" or "not worse".

    The true differences are 0, and the margin.
    """
    different = alike = 0
    for seed in range(families):
        random = np.random.default_rng(seed)
        judged = judge_all([case.draw(0.0, random) for _ in range(FAMILY)], margin=SCORE_MARGIN, level=LEVEL)
        different += any(each.verdict in (Verdict.LOWER, Verdict.HIGHER) for each in judged)
        p_values = [case.draw(-SCORE_MARGIN, random).p_above(-SCORE_MARGIN) for _ in range(FAMILY)]
        alike += any(p <= alpha for p, alpha in zip(p_values, holm_alphas(p_values, 1 - LEVEL), strict=True))
    return 100 * different / families, 100 * alike / families


def alone(case: Case, repeats: int) -> list[str]:
    """Return what one comparison does: covers the truth, finds a difference of a few points, finds none comparable."""
    shares = []
    drawn = [case.draw(0.0, np.random.default_rng(seed)) for seed in range(repeats)]
    for truth in (0.0, -SCORE_MARGIN):
        found = drawn if truth == 0 else [case.draw(truth, np.random.default_rng(seed)) for seed in range(repeats)]
        inside = (low <= truth <= high for low, high in (each.interval(LEVEL) for each in found))
        shares.append(sum(inside) / repeats)
    shares.append(sum(each.p_equivalent(SCORE_MARGIN) <= 1 - LEVEL for each in drawn) / repeats)
    for truth in POWER_AT:
        found = [case.draw(truth, np.random.default_rng(seed)) for seed in range(repeats)]
        shares.append(sum(each.p_different() <= 1 - LEVEL for each in found) / repeats)
    return [f"{100 * share:.1f}" for share in shares]


HEADERS = (
    "case",
    "any false better or worse of 16 %",
    "any false not worse of 16 %",
    "covers 0 %",
    "covers -1 %",
    "comparable at 0 %",
    *(f"different at {points:g} %" for points in POWER_AT),
)


def rows(families: int, repeats: int) -> Iterator[list[str]]:
    """Yield the rows of the report."""
    for case in CASES:
        yield [case.name, *(f"{share:.1f}" for share in false_in_a_family(case, families)), *alone(case, repeats)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=2000)
    options = parser.parse_args()
    print_markdown(HEADERS, rows(options.families, options.repeats))
    print(f"\n{options.families} families of {FAMILY}, {options.repeats} repeats of one comparison")


if __name__ == "__main__":
    main()
