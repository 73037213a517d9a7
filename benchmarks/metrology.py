"""How the statistics perform on known true values: false alarms, coverage, power, bias, throttled runs found.

    python -m benchmarks.metrology [--sessions 10000]

Simulated, seeded. SimulatedBoard gives the runs; the RunScheduler of a real session gives their order, the repeats, the
looks at the data and the end; the verdicts are those of the comparison. Each session compares artifacts in runs of 100
inferences: 3 % spread within a process, heavy tails, autocorrelated. In most sessions a run is reduced to its
median. Fewer sessions use complete runs, rules and `compare`; the agreement of both methods is counted.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import TypeVar

import numpy as np

from benchmarks import queues, score_verdicts, speed_verdicts, validity
from benchmarks.gates import GATE_ROWS, QUIET, GateTruth, creeping_commits, gate_verdict
from benchmarks.sessions import SESSION_HEADERS, rows_of_two_sessions
from benchmarks.speed_verdicts import MedianRun
from benchmarks.tables import print_markdown
from edgebench.analysis import Contrast, compare_rows, reasons_against, summarise, validate_group, with_ratios
from edgebench.analysis.comparison import compare
from edgebench.gating import GateVerdict
from edgebench.measure.scheduler import RunScheduler
from edgebench.measurement import Subject
from edgebench.run import Run
from edgebench.stats import LEVEL, LOOKS, Judgement, RatioEstimate, Verdict, estimate_ratio, judge_all
from edgebench.stats.verdicts import is_decided, look_level
from edgebench.testing import Disturbance, SimulatedBoard, simulated_subject
from edgebench.workload import RunPlan

CELLS = ((0.01, 0.03), (0.02, 0.03), (0.01, 0.01), (0.03, 0.03))
DRIFTS = (0.0, 0.05)
INFERENCES = 100
Said = TypeVar("Said")
SomeTruth = TypeVar("SomeTruth", bound="Truth")


@dataclass(frozen=True, slots=True)
class Truth:
    """What is simulated: the spread between processes, the drift, and the true ratio candidate / baseline."""

    between: float
    margin: float
    drift: float
    ratio: float
    candidates: int = 1  # each against the same baseline, judged together


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one session for its first candidate; `verdicts`: for all."""

    verdicts: tuple[Verdict, ...]
    covers: bool
    log_ratio: float
    runs: int


def session(truth: Truth, seed: int, looks: Sequence[int]) -> Outcome:
    """Simulate one session; with several looks: until decided. Its runs are reduced to their medians."""
    board = SimulatedBoard(seed=seed, between=truth.between, drift=truth.drift)
    subjects = _subjects(truth.candidates + 1)
    done: dict[str, list[MedianRun]] = {subject.id: [] for subject in subjects}

    def measure(index: int) -> None:
        at_s = board.now_s
        median_ns = board.median_ns(INFERENCES, factor=truth.ratio if index else 1.0)
        done[subjects[index].id].append(MedianRun(median_ns, at_s))

    def judged(estimates: Sequence[RatioEstimate]) -> list[Judgement]:
        return judge_all(estimates, margin=truth.margin, level=LEVEL, looks=len(looks))

    RunScheduler(
        subjects=subjects,
        done=done,
        looks=looks,
        seed=seed,
        measure=measure,
        is_decided=lambda: is_decided(judged(_estimates(list(done.values())))),
    ).run()
    estimates = _estimates(list(done.values()))
    said, estimate = judged(estimates), estimates[0]
    low, high = estimate.interval(look_level(LEVEL, len(looks)) if truth.candidates == 1 else said[0].level)
    verdicts = tuple(each.verdict for each in said)
    return Outcome(verdicts, low <= truth.ratio <= high, estimate.log_ratio, estimate.runs[0])


@cache
def _subjects(count: int) -> list[Subject]:
    return [simulated_subject(number, name=f"variant-{number}", planned_runs=LOOKS[0]) for number in range(count)]


def _estimates(done: Sequence[Sequence[MedianRun]]) -> list[RatioEstimate]:
    """Return the ratio of each candidate to the first."""
    sides = [np.array([(run.median_ns, run.at_s) for run in runs]) for runs in done]
    (baseline, baseline_times), *candidates = ((side[:, 0], side[:, 1]) for side in sides)
    return [
        estimate_ratio(baseline, candidate, baseline_times=baseline_times, candidate_times=times)
        for candidate, times in candidates
    ]


def whole_session(truth: Truth, seed: int, looks: Sequence[int]) -> tuple[Outcome, bool]:
    """Simulate one session with every inference and reading, the rules, and the comparison that a user gets.

    The board throttles in one run of twelve, more or less; those are repeated. Returns also whether the session's
    medians and times alone lead to the same verdict and interval.
    """
    episode_s = float(np.random.default_rng(seed).uniform(0, 40))
    board = SimulatedBoard(
        seed=seed,
        between=truth.between,
        drift=truth.drift,
        sensor_hz=10.0,
        disturbances=(Disturbance(episode_s, episode_s + 5.0, 1.6),),
    )
    subjects = [replace(subject, looks=len(looks)) for subject in _subjects(2)]
    done: dict[str, list[Run]] = {subject.id: [] for subject in subjects}
    plan = RunPlan(runs=looks[0])

    def measure(index: int) -> None:
        kept = done[subjects[index].id]
        run = board.run(subjects[index], len(kept), factor=truth.ratio if index else 1.0, count=INFERENCES)
        kept.append(replace(run, reasons=reasons_against(run, plan)))

    def said() -> Contrast:
        measured = [summarise(subject, done[subject.id]) for subject in subjects]
        return compare_rows(measured, margin=truth.margin)[0].latency

    RunScheduler(
        subjects=subjects,
        done=done,
        looks=looks,
        seed=seed,
        measure=measure,
        is_decided=lambda: said().verdict != "inconclusive",
    ).run()
    latency = said()
    reduced = [
        [
            MedianRun(float(np.median(run.latencies_ns)), datetime.fromisoformat(run.started_at).timestamp())
            for run in runs
            if run.valid
        ]
        for runs in done.values()
    ]
    (estimate,) = _estimates(reduced)
    (judged,) = judge_all([estimate], margin=truth.margin, level=LEVEL, looks=len(looks))
    words = {"faster": Verdict.LOWER, "slower": Verdict.HIGHER}
    verdict = words.get(latency.verdict) or Verdict(latency.verdict)
    low, high = latency.ci or (math.nan, math.nan)
    agrees = judged.verdict is verdict and np.allclose(estimate.interval(judged.level), (low, high))
    outcome = Outcome((verdict,), low <= truth.ratio <= high, math.log(latency.ratio), latency.runs[0])
    return outcome, bool(agrees)


#: Neighbours that the board can't observe, as on a virtual machine that shares its host.
SWING, SWING_S = 0.09, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SwungTruth(Truth):
    """Cells with such neighbours; `alternating`: both models in one process, in rotation."""

    alternating: bool


def swung_session(truth: SwungTruth, seed: int, looks: Sequence[int]) -> Outcome | None:
    """Simulate one session of complete runs, with the rules and the comparison that a user gets.

    None: too few of its runs count.
    """
    board = SimulatedBoard(seed=seed, between=truth.between, drift=truth.drift, swing=SWING, swing_s=SWING_S)
    subjects = _subjects(2)
    rows = [subjects] if truth.alternating else [[subject] for subject in subjects]
    factors = {subjects[0].id: 1.0, subjects[1].id: truth.ratio}
    done: dict[str, list[Run]] = {subject.id: [] for subject in subjects}
    plan = RunPlan(runs=looks[0])

    def measure(index: int) -> None:
        row = rows[index]
        number = len(done[row[0].id])
        runs = board.runs(row, number, factors=[factors[subject.id] for subject in row], count=INFERENCES)
        for subject, run in zip(row, with_ratios(validate_group(runs, plan)), strict=True):
            done[subject.id].append(run)

    leaders = [row[0] for row in rows]
    RunScheduler(subjects=leaders, done=done, looks=looks, seed=seed, measure=measure).run()
    compared = compare_rows([summarise(subject, done[subject.id]) for subject in subjects], margin=truth.margin)
    if not compared:
        return None
    latency = compared[0].latency
    if latency.ci is None:
        return None
    words = {"faster": Verdict.LOWER, "slower": Verdict.HIGHER}
    verdict = words.get(latency.verdict) or Verdict(latency.verdict)
    low, high = latency.ci
    return Outcome((verdict,), low <= truth.ratio <= high, math.log(latency.ratio), latency.runs[0])


def _swung_sessions(work: tuple[SwungTruth, tuple[int, ...], int, int]) -> list[Outcome | None]:
    truth, looks, first, count = work
    return [swung_session(truth, seed, looks) for seed in range(first, first + count)]


def _sessions(work: tuple[Truth, tuple[int, ...], int, int]) -> list[Outcome]:
    truth, looks, first, count = work
    return [session(truth, seed, looks) for seed in range(first, first + count)]


def _whole_sessions(work: tuple[Truth, tuple[int, ...], int, int]) -> list[tuple[Outcome, bool]]:
    truth, looks, first, count = work
    return [whole_session(truth, seed, looks) for seed in range(first, first + count)]


def in_parallel(
    pool: ProcessPoolExecutor,
    carry_out: Callable[[tuple[SomeTruth, tuple[int, ...], int, int]], list[Said]],
    truth: SomeTruth,
    looks: tuple[int, ...],
    sessions: int,
) -> list[Said]:
    """Return the results of this many sessions."""
    parts = 8
    each = -(-sessions // parts)
    work = [(truth, looks, 1_000_000 + part * each, each) for part in range(parts)]
    return [outcome for part in pool.map(carry_out, work) for outcome in part]


def rows_of_sessions(pool: ProcessPoolExecutor, sessions: int) -> Iterator[list[str]]:
    """Simulate every cell without a difference and with one as large as the margin."""
    for looks in ((LOOKS[0],), LOOKS):
        for between, margin in CELLS:
            for drift in DRIFTS:
                for ratio in (1.0, 1 + margin):
                    truth = Truth(between, margin, drift, ratio)
                    yield _row(in_parallel(pool, _sessions, truth, looks, sessions), truth, looks)


def rows_of_several(pool: ProcessPoolExecutor, sessions: int) -> Iterator[list[str]]:
    """Simulate four candidates that are all equal to the first row, judged together."""
    for looks in ((LOOKS[0],), LOOKS):
        for between, margin in CELLS:
            truth = Truth(between, margin, DRIFTS[-1], 1.0, candidates=4)
            yield _row(in_parallel(pool, _sessions, truth, looks, sessions), truth, looks)


def rows_of_whole_sessions(pool: ProcessPoolExecutor, sessions: int) -> Iterator[list[str]]:
    """Simulate complete runs with the rules; the last column counts sessions with the same verdict by medians."""
    for looks in ((LOOKS[0],), LOOKS):
        for between, margin in CELLS[:2]:
            for ratio in (1.0, 1 + margin):
                truth = Truth(between, margin, DRIFTS[-1], ratio)
                found = in_parallel(pool, _whole_sessions, truth, looks, sessions)
                agreeing = sum(agrees for _, agrees in found)
                yield [*_row([outcome for outcome, _ in found], truth, looks), f"{agreeing} of {len(found)}"]


def rows_with_neighbours(pool: ProcessPoolExecutor, sessions: int) -> Iterator[list[str]]:
    """Neighbours swing all latencies by 9 % for seconds; models in separate processes or alternating."""
    for alternating in (False, True):
        for ratio in (1.0, 1.03):
            truth = SwungTruth(0.003, 0.03, DRIFTS[0], ratio, alternating=alternating)
            looks = (LOOKS[0],)
            said = in_parallel(pool, _swung_sessions, truth, looks, sessions)
            found = [each for each in said if each is not None]
            way = "alternating" if alternating else "by themselves"
            yield [way, *_row(found, truth, looks), f"{100 * (1 - len(found) / len(said)):.1f}"]


GATE_HEADERS = ("gate", "fail %", "pass %", "undecided %", "must hold")


def _gates(work: tuple[GateTruth, int, int]) -> list[GateVerdict]:
    truth, first, count = work
    return [gate_verdict(truth, seed) for seed in range(first, first + count)]


def _creeping(work: tuple[GateTruth, int, int]) -> list[int | None]:
    truth, first, count = work
    return [creeping_commits(truth, seed) for seed in range(first, first + count)]


def _parts_of(truth: GateTruth, gates: int) -> list[tuple[GateTruth, int, int]]:
    each = -(-gates // 8)
    return [(truth, part * each, each) for part in range(8)]


def rows_of_gates(pool: ProcessPoolExecutor, gates: int) -> Iterator[list[str]]:
    """Simulate complete gates: the same file, one that is slower, and one exactly at the margin."""
    for name, truth, least_fail, most_fail, least_pass in GATE_ROWS:
        found = [verdict for part in pool.map(_gates, _parts_of(truth, gates)) for verdict in part]
        shares = [100 * sum(each is verdict for each in found) / len(found) for verdict in GateVerdict]
        by_verdict = dict(zip(GateVerdict, shares, strict=True))
        wanted = [
            *([f"fail >= {least_fail:g}"] if least_fail else []),
            *([f"fail <= {most_fail:g}"] if most_fail < 100 else []),
            *([f"pass >= {least_pass:g}"] if least_pass else []),
        ]
        order = (GateVerdict.FAIL, GateVerdict.PASS, GateVerdict.UNDECIDED)
        yield [name, *(f"{by_verdict[verdict]:.1f}" for verdict in order), ", ".join(wanted)]


def creeping_sentence(pool: ProcessPoolExecutor, series: int) -> str:
    """Say at which of ten commits of +1 % the gate first fails against the anchor."""
    found = [commit for part in pool.map(_creeping, _parts_of(QUIET, series)) for commit in part]
    counts = {commit: found.count(commit) for commit in sorted(set(found), key=lambda each: each or 99)}
    return f"ten commits of +1 %: first failure at commit {counts} of {len(found)} series"


HEADERS = (
    "between",
    "margin",
    "drift",
    "rows",
    "runs of each",
    "true ratio",
    "equivalent %",
    "faster or slower %",
    "inconclusive %",
    "interval covers %",
    "bias of the ratio %",
)


def _row(found: Sequence[Outcome], truth: Truth, looks: Sequence[int]) -> list[str]:
    """Several rows: equivalent or inconclusive is the share of comparisons, faster or slower that of sessions."""
    verdicts = [verdict for each in found for verdict in each.verdicts]
    share = {verdict: 100 * sum(each is verdict for each in verdicts) / len(verdicts) for verdict in Verdict}
    different = np.mean([any(each in (Verdict.LOWER, Verdict.HIGHER) for each in one.verdicts) for one in found])
    bias = 100 * (math.exp(float(np.mean([each.log_ratio for each in found]))) / truth.ratio - 1)
    mean_runs = np.mean([each.runs for each in found])
    return [
        f"{100 * truth.between:g} %",
        f"{100 * truth.margin:.0f} %",
        f"{100 * truth.drift:.0f} %",
        f"{truth.candidates + 1}",
        f"{looks[0]}" if len(looks) == 1 else f"until decided: {mean_runs:.1f}",
        f"{truth.ratio:.2f}",
        f"{share[Verdict.EQUIVALENT]:.1f}",
        f"{100 * different:.1f}",
        f"{share[Verdict.INCONCLUSIVE]:.1f}",
        f"{100 * np.mean([each.covers for each in found]):.1f}",
        f"{bias:+.3f}",
    ]


def throttling(runs: int, *, flags: bool) -> tuple[int, int, int, int]:
    """Return (throttled runs, those found, good runs, those lost): sensors at 10 Hz, episodes of 5 to 60 s.

    Half of the runs of 20 s have an episode that begins in them, a quarter come after one (its bits stick), a quarter
    have none. `flags`: whether the board has throttle flags, or throttling is visible only in its clock.
    """
    random = np.random.default_rng(7)
    plan = RunPlan(runs=1)
    throttled = found = good = lost = 0
    for seed in range(runs):
        length = float(random.uniform(5, 60))
        within = float(random.uniform(1, 20))
        start = (within, within, -length - 1, 1e9)[seed % 4]
        disturbances = (Disturbance(start, start + length, 1.6),)
        board = SimulatedBoard(seed=seed, sensor_hz=10.0, drift=0.02, disturbances=disturbances)
        run = board.run(simulated_subject(0, name="a", planned_runs=1), 0, count=1000)
        readings = run.trace.readings
        kept = {name: readings[name] for name in readings if flags or name != "throttled"}
        del kept["temperature_mc/cpu-thermal"]  # which jumps here, and would help
        reasons = reasons_against(replace(run, trace=replace(run.trace, readings=kept)), plan)
        starts = run.trace.starts_ns / 1e9
        if np.any((starts >= start) & (starts < start + length)):
            throttled += 1
            found += bool(reasons)
        else:
            good += 1
            lost += bool(reasons)
    return throttled, found, good, lost


def gain_of_equal_settings(seed: int, *, settings: int = 5, between: float = 0.01) -> tuple[bool, bool] | None:
    """Simulate a tuned session whose settings are all equal, and what is measured again.

    Returns:
        Whether the interval of the gain excludes 1: by the runs that chose the setting, and by those measured again.
        None: the setting of the board as found was chosen.
    """
    random = np.random.default_rng(seed)
    medians = np.exp(random.normal(0, between, (settings, LOOKS[0])))
    chosen = int(np.argmin(np.exp(np.log(medians).mean(axis=1))))
    if chosen == 0:
        return None
    again = np.exp(random.normal(0, between, (2, LOOKS[0])))
    sides = ((medians[0], medians[chosen]), (again[0], again[1]))
    excluded = [not low <= 1 <= high for low, high in (estimate_ratio(*each).interval(LEVEL) for each in sides)]
    return excluded[0], excluded[1]


def rows_of_tuning(sessions: int) -> Iterator[list[str]]:
    """Tune settings of which none is faster; how often the interval of the gain excludes 1."""
    for settings in (3, 5, 8):
        found = [gain_of_equal_settings(seed, settings=settings) for seed in range(sessions)]
        told = np.array([each for each in found if each is not None])
        yield [f"{settings}", f"{len(told)}", *(f"{100 * share:.1f}" for share in told.mean(axis=0))]


TUNING = ("equal settings", "sessions that choose another", "runs that chose exclude 1 %", "measured again exclude 1 %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--whole-sessions", type=int, default=200)
    parser.add_argument("--swung-sessions", type=int, default=2000)
    parser.add_argument("--two-sessions", type=int, default=1000)
    parser.add_argument("--gates", type=int, default=1000)
    parser.add_argument("--only-gates", action="store_true")
    parser.add_argument("--throttled-runs", type=int, default=4000)
    parser.add_argument("--tuned-sessions", type=int, default=5000)
    parser.add_argument("--queues", type=int, default=1000)
    parser.add_argument("--families", type=int, default=1000)
    parser.add_argument("--drifting-runs", type=int, default=400)
    options = parser.parse_args()
    began = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        print_markdown(GATE_HEADERS, rows_of_gates(pool, options.gates))
        print(f"\n{creeping_sentence(pool, -(-options.gates // 10))}")
        print(f"{options.gates} gates a row, margin 3 %, {time.monotonic() - began:.0f} s\n")
        if options.only_gates:
            return
        print_markdown(HEADERS, rows_of_sessions(pool, options.sessions))
        print(f"\n{options.sessions} sessions a row, {time.monotonic() - began:.0f} s\n")
        print_markdown(HEADERS, rows_of_several(pool, options.sessions // 5))
        print(f"\n{options.sessions // 5} sessions a row, {time.monotonic() - began:.0f} s in all\n")
        print_markdown((*HEADERS, "medians say the same"), rows_of_whole_sessions(pool, options.whole_sessions))
        print(f"\n{options.whole_sessions} sessions a row of whole runs, {time.monotonic() - began:.0f} s in all\n")
        print_markdown(("models", *HEADERS, "too few valid runs %"), rows_with_neighbours(pool, options.swung_sessions))
        print(
            f"\n{options.swung_sessions} sessions a row of whole runs, neighbours swing all latencies by "
            f"{100 * SWING:.0f} % for {SWING_S:g} s, {time.monotonic() - began:.0f} s in all\n"
        )
        speed_verdicts.print_table(pool, options.sessions // 5, print_markdown)
        print_markdown(SESSION_HEADERS, rows_of_two_sessions(pool, options.two_sessions))
        print(f"\n{options.two_sessions} comparisons of two sessions a row, {time.monotonic() - began:.0f} s in all\n")
    for flags in (True, False):
        throttled, found, good, lost = throttling(options.throttled_runs, flags=flags)
        print(
            f"{'throttle flags' if flags else 'clock alone'}: {found} of {throttled} throttled runs found "
            f"({100 * found / throttled:.2f} %), {lost} of {good} good ones lost ({100 * lost / good:.2f} %)"
        )
    print_markdown(TUNING, rows_of_tuning(options.tuned_sessions))
    print(f"\n{options.tuned_sessions} tuned sessions a row\n")
    print_markdown(queues.CONFIRMATIONS, queues.confirmations(options.queues))
    print(f"\n{options.queues} repeats a row; the search: {options.queues // 4} searches a row\n")
    print_markdown(queues.SEARCHES, queues.searches(options.queues // 4))
    print_markdown(score_verdicts.HEADERS, score_verdicts.rows(options.families, 2 * options.families))
    print(f"\n{options.families} families of {score_verdicts.FAMILY} score comparisons a row\n")
    validity.print_tables(options.drifting_runs)
    print(ten_million_latencies())


def ten_million_latencies() -> str:
    """Summarise and compare two measurements of 5 million latencies each."""
    board = SimulatedBoard(seed=1, typical_ms=1.0)
    measured = []
    for number in range(2):
        subject = simulated_subject(number, name=f"variant-{number}", planned_runs=5)
        measured.append((subject, [board.run(subject, at, count=1_000_000) for at in range(5)]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    one, other = (summarise(subject, runs) for subject, runs in measured)
    summarised = time.monotonic()
    compare(one, other)
    ended = time.monotonic()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return (
        f"10 million latencies: summary {summarised - began:.2f} s, comparison {ended - summarised:.2f} s, "
        f"{before / 1024:.0f} MiB with them in memory, {grown:.0f} MiB more at most"
    )


if __name__ == "__main__":
    main()
