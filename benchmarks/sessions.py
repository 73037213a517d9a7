"""How often a comparison of two sessions of one file says that they differ: simulated, through the code of `compare`.

Each session of a chain is compared with the one before it and with the history of those before it. Sessions differ
(normal, sd as given), and successive ones may resemble each other (AR(1)). Runs of a session spread by 1 %.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

from edgebench.analysis import NOT_DECIDED, compare_pairs, figures_of, session_history, summarise
from edgebench.measurement import Measurement, Subject
from edgebench.run import Run
from edgebench.testing.simulated_sessions import session_effects, simulated_sessions

SESSION_SDS = (0.003, 0.01, 0.02, 0.05, 0.17, 0.40)
CORRELATIONS = (0.0, 0.7, 0.9)
HISTORY = 12
_PARTS = 8
_DIFFERENT = ("faster", "slower")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTruth:
    """The standard deviation of sessions, how much one resembles the one before, and the true ratio of the files."""

    sd: float
    correlation: float = 0.0
    ratio: float = 1.0


def compare_chain(work: tuple[SessionTruth, int, int]) -> tuple[Counter[str], Counter[str], int]:
    """Compare the sessions of a chain; return the verdicts without history, those with it, and how often any
    quantity is said to differ with it.
    """
    truth, seed, count = work
    effects = session_effects(count + HISTORY, sd=truth.sd, correlation=truth.correlation, seed=seed)
    chain = _measured(simulated_sessions(list(effects), seed=seed, count=150))
    factor = math.log(truth.ratio)
    candidates = chain[HISTORY:]
    if truth.ratio != 1:
        slower = list(effects[HISTORY:] + factor)
        candidates = _measured(simulated_sessions(slower, seed=seed, first=HISTORY, file=1, count=150))
    without: Counter[str] = Counter()
    with_history: Counter[str] = Counter()
    any_differs = 0
    for at, candidate in enumerate(candidates):
        before = chain[at : at + HISTORY]
        pair = (before[-1], candidate)
        without[compare_pairs([pair])[0].latency.verdict] += 1
        (found,) = compare_pairs([pair], histories=[session_history(*pair, before)])
        with_history[found.latency.verdict] += 1
        said = [part.verdict for part in (found.latency, found.p95, found.throughput) if part is not None]
        any_differs += any(verdict not in (NOT_DECIDED, "equivalent") for verdict in said)
    return without, with_history, any_differs


def _measured(sessions: Iterable[tuple[Subject, list[Run]]]) -> list[Measurement]:
    """Return the measurements, with figures worked out once, as a store has them."""
    return [summarise(subject, [replace(run, figures=figures_of(run)) for run in runs]) for subject, runs in sessions]


SESSION_HEADERS = (
    "session sd",
    "correlation",
    "true ratio",
    "without history: any verdict %",
    "with history: speaks %",
    "faster or slower %",
    "equivalent %",
    "any quantity differs %",
)


def rows_of_two_sessions(pool: ProcessPoolExecutor, sessions: int) -> Iterator[list[str]]:
    """Simulate two sessions of one file, for each sd and correlation, then a file that takes 5 % longer."""
    truths = [SessionTruth(sd=sd, correlation=each) for sd in SESSION_SDS for each in CORRELATIONS]
    truths += [SessionTruth(sd=sd, ratio=ratio) for ratio in (1.03, 1.05) for sd in SESSION_SDS[:2]]
    each = -(-sessions // _PARTS)
    for truth in truths:
        without: Counter[str] = Counter()
        with_history: Counter[str] = Counter()
        any_differs = 0
        for one, other, differs in pool.map(compare_chain, [(truth, 1000 + part, each) for part in range(_PARTS)]):
            without += one
            with_history += other
            any_differs += differs
        total = without.total()
        different = sum(with_history[word] for word in _DIFFERENT)
        yield [
            f"{100 * truth.sd:g} %",
            f"{truth.correlation:g}",
            f"{truth.ratio:.2f}",
            f"{100 * (1 - without[NOT_DECIDED] / total):.1f}",
            f"{100 * (1 - with_history[NOT_DECIDED] / total):.1f}",
            f"{100 * different / total:.1f}",
            f"{100 * with_history['equivalent'] / total:.1f}",
            f"{100 * any_differs / total:.1f}",
        ]
