"""What the statistics make of known truths: false alarms, coverage, power, bias, throttled runs found.

    python -m benchmarks.metrology [--sessions 10000]

Simulated, seeded: SimulatedBoard gives the latencies, the real schedule their order, the real statistics the verdicts.
Each session compares two artifacts in runs of 100 inferences: 3 % spread within a process, heavy tails, autocorrelated.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from edgebench.comparison import compare
from edgebench.schedule import order_of_runs
from edgebench.stats.ratio import RatioEstimate, estimate_ratio
from edgebench.stats.verdicts import LEVEL, LOOKS, Verdict, judge, look_level
from edgebench.summary import summarise
from edgebench.testing import Disturbance, SimulatedBoard
from edgebench.testing.simulated_board import simulated_subject
from edgebench.validity import reasons_against
from edgebench.workload import RunPlan

CELLS = ((0.01, 0.03), (0.02, 0.03), (0.01, 0.01), (0.03, 0.03))
DRIFTS = (0.0, 0.05)
INFERENCES = 100


@dataclass(frozen=True, slots=True)
class Truth:
    """What is simulated: the spread between processes, the drift, and candidate / baseline as it truly is."""

    between: float
    margin: float
    drift: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one session said."""

    verdict: Verdict
    covers: bool
    log_ratio: float
    runs: int


def session(truth: Truth, seed: int, looks: Sequence[int]) -> Outcome:
    """Compare two artifacts once; several looks: until decided."""
    board = SimulatedBoard(seed=seed, between=truth.between, drift=truth.drift)
    order = order_of_runs(2, looks[-1], seed=seed)
    medians: list[list[float]] = [[], []]
    times: list[list[float]] = [[], []]
    level = look_level(LEVEL, len(looks))
    done = 0
    for runs in looks:
        for cell in order[done : 2 * runs]:
            times[cell].append(board.now_s)
            latencies = board.latencies_ns(INFERENCES, factor=truth.ratio if cell else 1.0)
            medians[cell].append(float(np.median(latencies)))
        done = 2 * runs
        estimate = _estimate(medians, times)
        verdict = judge(estimate, margin=truth.margin, level=level)
        if verdict is not Verdict.INCONCLUSIVE:
            break
    low, high = estimate.interval(level)
    return Outcome(verdict, low <= truth.ratio <= high, estimate.log_ratio, runs)


def _estimate(medians: list[list[float]], times: list[list[float]]) -> RatioEstimate:
    sides = [np.asarray(side) for side in medians]
    when = [np.asarray(side) for side in times]
    return estimate_ratio(sides[0], sides[1], baseline_times=when[0], candidate_times=when[1])


def _sessions(work: tuple[Truth, tuple[int, ...], int, int]) -> list[Outcome]:
    truth, looks, first, count = work
    return [session(truth, seed, looks) for seed in range(first, first + count)]


def outcomes(pool: ProcessPoolExecutor, truth: Truth, looks: tuple[int, ...], sessions: int) -> list[Outcome]:
    """Return what so many sessions said, in parallel."""
    parts = 8
    each = -(-sessions // parts)
    return [
        outcome
        for part in pool.map(_sessions, [(truth, looks, 1_000_000 + part * each, each) for part in range(parts)])
        for outcome in part
    ]


def table_of_sessions(pool: ProcessPoolExecutor, sessions: int) -> Table:
    """Simulate every cell without a difference and with one as large as the margin."""
    table = Table(
        "between", "margin", "drift", "runs", "truth", "equivalent %", "different %", "inconclusive %", box=SIMPLE
    )
    for header in ("coverage %", "bias of the ratio %", "runs of each"):
        table.add_column(header)
    for looks in ((LOOKS[0],), LOOKS):
        for between, margin in CELLS:
            for drift in DRIFTS:
                for ratio in (1.0, 1 + margin):
                    found = outcomes(pool, Truth(between, margin, drift, ratio), looks, sessions)
                    table.add_row(*_row(found, between, margin, drift, ratio, looks))
    return table


def _row(
    found: Sequence[Outcome], between: float, margin: float, drift: float, ratio: float, looks: Sequence[int]
) -> list[str]:
    share = {verdict: 100 * sum(each.verdict is verdict for each in found) / len(found) for verdict in Verdict}
    bias = 100 * (math.exp(float(np.mean([each.log_ratio for each in found]))) / ratio - 1)
    return [
        f"{100 * between:.0f} %",
        f"{100 * margin:.0f} %",
        f"{100 * drift:.0f} %",
        f"{looks[0]}" if len(looks) == 1 else "until decided",
        f"{ratio:.2f}",
        f"{share[Verdict.EQUIVALENT]:.1f}",
        f"{share[Verdict.LOWER] + share[Verdict.HIGHER]:.1f}",
        f"{share[Verdict.INCONCLUSIVE]:.1f}",
        f"{100 * np.mean([each.covers for each in found]):.1f}",
        f"{bias:+.3f}",
        f"{np.mean([each.runs for each in found]):.1f}",
    ]


def throttling(runs: int, *, flags: bool) -> tuple[int, int, int, int]:
    """Return (throttled runs, those found, good runs, those lost): sensors at 10 Hz, episodes of 5 to 60 s.

    Half of the runs of 20 s have an episode that begins in them, a quarter come after one (its bits stick), a quarter
    have none. `flags`: whether the board has throttle flags, or its clock alone tells.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--throttled-runs", type=int, default=4000)
    options = parser.parse_args()
    began = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        table = table_of_sessions(pool, options.sessions)
    Console(width=160).print(table)
    print(f"{options.sessions} sessions a row, {time.monotonic() - began:.0f} s")
    for flags in (True, False):
        throttled, found, good, lost = throttling(options.throttled_runs, flags=flags)
        print(
            f"{'throttle flags' if flags else 'clock alone'}: {found} of {throttled} throttled runs found "
            f"({100 * found / throttled:.2f} %), {lost} of {good} good ones lost ({100 * lost / good:.2f} %)"
        )
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
