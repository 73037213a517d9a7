"""How verdicts on speed perform where models differ in some inputs only, lose runs, or meet a fan: known true values.

    python -m benchmarks.speed_verdicts [--sessions 2000]

Simulated, seeded. As in `benchmarks.metrology`, which prints this table too, the RunScheduler of a real session gives
the order of runs, and the verdicts are those of the comparison.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from edgebench.analysis import compare_rows, summarise
from edgebench.measure.scheduler import RunScheduler
from edgebench.measurement import Subject
from edgebench.reason import Reason, ReasonCode
from edgebench.run import Run
from edgebench.stats import LEVEL, LOOKS, MARGIN, Verdict, estimate_ratio, judge_all
from edgebench.testing import SimulatedBoard, simulated_subject
from edgebench.testing.simulated_board import Factor

#: Relative latencies of 30 inputs, as the lengths of parallel text: log-normal.
LENGTHS = tuple(float(each) for each in np.exp(np.linspace(-1.0, 1.0, 30)))
LONGEST = tuple(1.0 if at < 18 else 1.5 for at in range(30))
SHORTEST = tuple(1.5 if at < 12 else 1.0 for at in range(30))
_LOST = Reason(ReasonCode.OTHERS_WORKED, "simulated")
_PARTS = 8
_COUNT = 210  # inferences of a complete run: seven passes


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Two models: how many times as long the candidate takes, and the spread between the runs of each.

    `lost`: of the candidate's runs so many are not valid. `sawtooth`: of the board, with this period in runs.
    """

    name: str
    factor: Factor = 1.0
    spreads: tuple[float, float] = (0.01, 0.01)
    lost: int = 0
    sawtooth: float = 0.0
    period: int = 3
    inputs: Sequence[float] = field(default=(1.0,))
    complete: bool = False  # complete runs of mixed length and `compare`; else a run is reduced to its median
    #: Of all sessions: the largest share called faster or slower, or the smallest one called slower.
    false_at_most: float | None = None
    slower_at_least: float | None = None


CASES = (
    Case(
        name="longest 40 % of inputs 1.5 times as slow",
        factor=LONGEST,
        inputs=LENGTHS,
        complete=True,
        slower_at_least=1,
    ),
    Case(name="shortest 40 %", factor=SHORTEST, inputs=LENGTHS, complete=True, slower_at_least=1),
    Case(name="equal, mixed lengths, latency and p95", inputs=LENGTHS, complete=True, false_at_most=0.055),
    Case(name="equal, as above, spread 3 %", inputs=LENGTHS, spreads=(0.03, 0.03), complete=True, false_at_most=0.055),
    Case(name="equal, 6 + 6 runs", false_at_most=0.055),
    Case(name="equal, spread 3 %", spreads=(0.03, 0.03), false_at_most=0.055),
    Case(name="equal, 6 + 3 valid runs, spread 1 and 3 %", spreads=(0.01, 0.03), lost=3, false_at_most=0.055),
    Case(name="equal, 6 + 3 valid runs, spread 0.5 and 5 %", spreads=(0.005, 0.05), lost=3),
    Case(name="equal, sawtooth of 6 % over 3 runs", sawtooth=0.06),
    Case(name="equal, sawtooth of 10 % over 3 runs", sawtooth=0.10),
    Case(name="equal, sawtooth of 6 % over 4 runs", sawtooth=0.06, period=4),
    Case(name="equal, sawtooth of 10 % over 4 runs", sawtooth=0.10, period=4),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was said in a session, and whether the 95 % interval of latency has the true ratio (of medians only)."""

    verdict: str
    covers: bool | None
    half_width: float


@dataclass(frozen=True, slots=True)
class MedianRun:
    """A run reduced to its median, which is all that the ratio needs."""

    median_ns: float
    at_s: float
    reasons: tuple[Reason, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether it counts."""
        return not self.reasons


def session(case: Case, seed: int) -> Outcome:
    """Simulate one session of six runs of each model."""
    board = SimulatedBoard(
        seed=seed, inputs=case.inputs, between=0.0, sawtooth=case.sawtooth, sawtooth_runs=case.period
    )
    subjects = [simulated_subject(number, name=f"model-{number}", planned_runs=LOOKS[0]) for number in range(2)]
    random = np.random.default_rng([seed, 1])
    if case.complete:
        return _complete_session(case, board, subjects, random, seed)
    done: dict[str, list[MedianRun]] = {subject.id: [] for subject in subjects}
    lost = set(random.choice(LOOKS[0], case.lost, replace=False).tolist())

    def measure(at: int) -> None:
        kept, began_s = done[subjects[at].id], board.now_s
        median_ns = board.median_ns(100, factor=float(np.exp(random.normal(0, case.spreads[at]))))
        kept.append(MedianRun(median_ns, began_s, (_LOST,) if at and len(kept) in lost else ()))

    RunScheduler(subjects=subjects, done=done, looks=(LOOKS[0],), seed=seed, measure=measure, repeats=False).run()
    return _of_medians([[run for run in runs if run.valid] for runs in done.values()])


def _complete_session(
    case: Case, board: SimulatedBoard, subjects: Sequence[Subject], random: np.random.Generator, seed: int
) -> Outcome:
    done: dict[str, list[Run]] = {subject.id: [] for subject in subjects}

    def measure(at: int) -> None:
        kept = done[subjects[at].id]
        effect = float(np.exp(random.normal(0, case.spreads[at])))
        factors = np.broadcast_to(np.asarray(case.factor if at else 1.0) * effect, len(case.inputs))
        kept.append(board.run(subjects[at], len(kept), factor=factors.tolist(), count=_COUNT))

    RunScheduler(subjects=subjects, done=done, looks=(LOOKS[0],), seed=seed, measure=measure, repeats=False).run()
    (found,) = compare_rows([summarise(subject, done[subject.id]) for subject in subjects])
    low, high = found.latency.ci
    return Outcome(found.outcome, None, float(np.log(high / low)) / 2)


def _of_medians(sides: Sequence[Sequence[MedianRun]]) -> Outcome:
    figures = [np.array([run.median_ns for run in runs]) for runs in sides]
    times = [np.array([run.at_s for run in runs]) for runs in sides]
    estimate = estimate_ratio(*figures, baseline_times=times[0], candidate_times=times[1])
    (judged,) = judge_all([estimate], margin=MARGIN, level=LEVEL)
    words = {Verdict.LOWER: "faster", Verdict.HIGHER: "slower"}
    low, high = estimate.interval(LEVEL)
    verdict = words.get(judged.verdict, str(judged.verdict))
    return Outcome(verdict, low <= 1 <= high, estimate.half_width(LEVEL))


def _sessions(work: tuple[Case, int, int]) -> list[Outcome]:
    case, first, count = work
    return [session(case, seed) for seed in range(first, first + count)]


_WORDS = ("slower", "faster", "equivalent", "inconclusive")
HEADERS = ("models", *(f"{word} %" for word in _WORDS), "interval covers %", "half width %", "must hold")


def rows(pool: ProcessPoolExecutor, sessions: int) -> Iterator[list[str]]:
    """Yield a row for each case; of complete runs a tenth of the sessions."""
    for case in CASES:
        each = -(-sessions // _PARTS // (10 if case.complete else 1))
        work = [(case, 1_000_000 + part * each, each) for part in range(_PARTS)]
        found = [outcome for part in pool.map(_sessions, work) for outcome in part]
        share = {word: float(np.mean([one.verdict == word for one in found])) for word in _WORDS}
        yield [
            case.name,
            *(f"{100 * value:.1f}" for value in share.values()),
            "" if case.complete else f"{100 * np.mean([one.covers for one in found]):.1f}",
            f"{100 * np.median([one.half_width for one in found]):.2f}",
            _must_hold(case, share["slower"], share["slower"] + share["faster"]),
        ]


def _must_hold(case: Case, slower: float, false: float) -> str:
    if case.slower_at_least is not None:
        return f"slower in {100 * case.slower_at_least:g} %: {_yes(slower >= case.slower_at_least)}"
    if case.false_at_most is not None:
        return f"false at most {100 * case.false_at_most:g} %: {_yes(false <= case.false_at_most)}"
    return ""


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"


def print_table(pool: ProcessPoolExecutor, sessions: int, show: Callable[..., None]) -> None:
    """Print the table and what it took."""
    began = time.monotonic()
    show(HEADERS, rows(pool, sessions))
    print(f"\n{sessions} sessions a row ({sessions // 10} of complete runs), {time.monotonic() - began:.0f} s\n")


def main() -> None:
    from benchmarks.metrology import print_markdown

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=2000)
    options = parser.parse_args()
    with ProcessPoolExecutor() as pool:
        print_table(pool, options.sessions, print_markdown)


if __name__ == "__main__":
    main()
