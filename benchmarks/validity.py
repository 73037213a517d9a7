"""How the rules of validity perform on known true values: good runs lost, bad ones found, what is left in the figure.

    python -m benchmarks.validity [--runs 400]

Simulated, seeded; `benchmarks.metrology` prints these rows, too. Runs come from SimulatedBoard and go through the rules
of a session; a warm-up ends where the agent's own code ends it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgebench.analysis import energy_of
from edgebench.analysis.validity import judged
from edgebench.figures import Energy
from edgebench.reason import ReasonCode
from edgebench.run import Run, Series
from edgebench.stats import MARGIN
from edgebench.testing import SimulatedBoard, simulated_subject
from edgebench.workload import RunPlan
from edgebench_agent.run.warm_up import RotationWarmUp, WarmUp

SUBJECT = simulated_subject(0, name="a", planned_runs=1)
PLAN = RunPlan()
#: 3 % within a process with heavy tails, 20 ms, unless it is said otherwise.
NOISES: dict[str, dict[str, Any]] = {
    "3 % within": {},
    "1 % within": {"within": 0.01},
    "3 % within, and OU 3 % of 1 s": {"swing": 0.03, "swing_s": 1.0},
    "3 % within, and OU 9 % of 1 s": {"swing": 0.09, "swing_s": 1.0},
    "3 % within, and OU 9 % of 5 s": {"swing": 0.09, "swing_s": 5.0},
    "1 % within, and OU 3 % of 1 s": {"within": 0.01, "swing": 0.03, "swing_s": 1.0},
}
_WINDOW_S = 0.05
_ROTATION_WINDOW_S = 0.25
_PPM_PER_S = round(1e6 * MARGIN / 3 / 10)


def with_latencies(run: Run, latencies_ns: np.ndarray[Any, Any]) -> Run:
    """Return the run with other latencies, one after the other, and without what sensors read."""
    whole = latencies_ns.astype(np.int64)
    starts = run.trace.starts_ns[0] + np.cumsum(whole) - whole
    items = np.zeros(len(whole), np.int64)
    trace = replace(run.trace, starts_ns=starts, latencies_ns=whole, items=items, readings={})
    return replace(run, trace=trace)


def drifting_runs(noise: dict[str, Any], runs: int, *, count: int, drift: float) -> Iterator[Run]:
    """Yield runs of two seconds whose latencies grow linearly by `drift` from start to end."""
    for seed in range(runs):
        board = SimulatedBoard(seed=seed, typical_ms=2000 / count, **noise)
        run = board.run(SUBJECT, 0, count=count)
        yield with_latencies(run, run.latencies_ns * (1 + drift * np.linspace(-0.5, 0.5, count)))


def share_not_steady(noise: dict[str, Any], runs: int, *, count: int, drift: float) -> float:
    """Return the share of runs that the rule about drift rejects."""
    found = [judged(run, PLAN) for run in drifting_runs(noise, runs, count=count, drift=drift)]
    return float(np.mean([any(each.code is ReasonCode.NOT_STEADY for each in run.reasons) for run in found]))


@dataclass(frozen=True, slots=True)
class Started:
    """A run after a slow start: how long its warm-up took, whether the run counts, and how much its p50 is too high."""

    warm_up_s: float
    counts: bool
    excess: float


def started(seed: int, *, by: float, within_s: float, typical_ms: float, noise: dict[str, Any]) -> Started:
    """Simulate a process that begins `by` too slow, which ends with the time constant `within_s`: warm-up, then 2 s."""
    board = SimulatedBoard(seed=seed, typical_ms=typical_ms, **noise)
    run = board.run(SUBJECT, 0, count=round(1000 * (PLAN.max_warmup_s + 6) / typical_ms))
    usual = run.latencies_ns / 1e9
    warm_up, now_s, at, is_over = WarmUp(_PPM_PER_S), 0.0, 0, False
    latencies: list[float] = []

    def infer() -> None:
        nonlocal now_s, at
        latencies.append(usual[at % len(usual)] * (1 + by * np.exp(-now_s / within_s)))
        now_s += latencies[-1]
        at += 1

    while not (is_over or warm_up.has_ended()):
        began, until_s = len(latencies), now_s + _WINDOW_S
        while now_s < until_s:
            infer()
        warm_up.add(round(1e9 * now_s), [list(latencies[began:])])
        is_over = now_s > PLAN.max_warmup_s
    warm_up_s, first = now_s, len(latencies)
    while now_s < warm_up_s + PLAN.min_duration_s or len(latencies) < first + PLAN.min_count:
        infer()
    facts = run.facts.adding({"warmup_steady": not is_over or warm_up.is_steady()})
    found = judged(replace(with_latencies(run, 1e9 * np.array(latencies[first:])), facts=facts), PLAN)
    too_slow = np.array(latencies[first:]) / np.array([usual[number % len(usual)] for number in range(first, at)])
    return Started(warm_up_s, found.valid, float(np.median(too_slow)) - 1)


def rotation_started(seed: int, *, by: float, within_s: float, noise: float) -> Started:
    """Simulate two models that alternate, 50 inferences each in 0.25 s; only the second one's start is slow.

    `noise` is the standard deviation of the logarithm of a latency. The excess is the ratio's, 1 s into the timed part.
    """
    random = np.random.default_rng(seed)
    warm_up, now_s = RotationWarmUp(_PPM_PER_S), 0.0
    while not warm_up.has_ended() and now_s < PLAN.max_warmup_s:
        now_s += _ROTATION_WINDOW_S
        slow = np.array([[1.0], [1 + by * np.exp(-now_s / within_s)]])
        warm_up.add(round(1e9 * now_s), (1e7 * slow * np.exp(random.normal(0, noise, (2, 50)))).tolist())
    counts = now_s < PLAN.max_warmup_s or warm_up.is_steady()
    return Started(now_s, counts, by * float(np.exp(-(now_s + 1) / within_s)))


def energy_with_a_slow_sensor(seed: int, *, seconds: float, averaging_ms: int | None) -> float | None:
    """Return by how much the power of a run is wrong: 5 W after a second of 3 W, a sensor that averages over 1 s.

    None: no energy is reported. `averaging_ms`: what the board says of the sensor.
    """
    random = np.random.default_rng(seed)
    run = SimulatedBoard(seed=seed).run(SUBJECT, 0, count=round(50 * seconds))
    began, every = int(run.trace.starts_ns[0]), 125_000_000
    times = began + every * np.arange(-16, 8 * seconds) + int(random.integers(every))
    fine = began + np.arange(-4_000, 1_000 * seconds) * 1_000_000
    watts = np.where(fine < began, 3.0, 5.0)
    total = np.concatenate([[0.0], np.cumsum(watts)])
    at = np.searchsorted(fine, times)
    power = (total[at] - total[at - 1000]) / 1000 * random.normal(1, 0.005, len(times))
    series = Series(times.astype(np.int64), (1e6 * power).astype(np.int64))
    board = {"power_averaging_ms": {"hwmon/ina226": averaging_ms}} if averaging_ms is not None else {}
    trace = replace(run.trace, readings={"power_uw/hwmon/ina226-power1": series})
    found = energy_of(replace(run, trace=trace, facts=run.facts.adding({"board": board})))
    return found.mean_w / 5 - 1 if isinstance(found, Energy) else None


def rows_of_drift(runs: int) -> Iterator[Sequence[str]]:
    for name, noise in NOISES.items():
        for count in (100, 400):
            shares = [100 * share_not_steady(noise, runs, count=count, drift=drift) for drift in (0, 0.05, 0.1, 0.2)]
            yield [name, str(count), *(f"{share:.1f}" for share in shares)]


def rows_of_slow_starts(runs: int) -> Iterator[Sequence[str]]:
    for name, typical_ms, noise in (
        ("0.3 % within, 20 ms", 20.0, {"within": 0.003}),
        ("1 % within, 5 ms", 5.0, {"within": 0.01}),
        ("3 % within, 20 ms", 20.0, {}),
    ):
        for by, within_s in ((0.0, 1.0), (0.06, 2.0), (0.15, 3.0), (0.15, 10.0)):
            found = [
                started(seed, by=by, within_s=within_s, typical_ms=typical_ms, noise=noise) for seed in range(runs)
            ]
            yield [name, *_started_cells(by, within_s, found)]


def rows_of_rotations(runs: int) -> Iterator[Sequence[str]]:
    for noise in (0.005, 0.03, 0.15):
        for by, within_s in ((0.0, 1.0), (0.06, 2.0), (0.15, 3.0), (0.15, 10.0)):
            found = [rotation_started(seed, by=by, within_s=within_s, noise=noise) for seed in range(runs)]
            yield [f"{100 * noise:g} %", *_started_cells(by, within_s, found)]


def _started_cells(by: float, within_s: float, found: Sequence[Started]) -> list[str]:
    kept = [each.excess for each in found if each.counts]
    return [
        f"{100 * by:g} % for {within_s:g} s" if by else "none",
        f"{np.median([each.warm_up_s for each in found]):.1f}",
        f"{100 * len(kept) / len(found):.0f}",
        f"{100 * np.mean(kept):+.2f}" if kept else "",
        f"{100 * sum(excess > MARGIN / 3 for excess in kept) / len(found):.0f}",
    ]


def rows_of_energy(runs: int) -> Iterator[Sequence[str]]:
    for seconds in (2.0, 6.0, 12.0):
        for averaging_ms in (None, 1000):
            found = [
                energy_with_a_slow_sensor(seed, seconds=seconds, averaging_ms=averaging_ms) for seed in range(runs)
            ]
            known = [each for each in found if each is not None]
            said = "not known" if averaging_ms is None else f"{averaging_ms / 1000:g} s"
            yield [f"{seconds:g}", said, f"{100 * np.mean(known):+.2f}" if known else "no energy"]


def print_tables(runs: int) -> None:
    """Print all rows as Markdown."""
    for headers, rows in (
        (("noise", "inferences", "no drift %", "5 % found %", "10 % found %", "20 % found %"), rows_of_drift(runs)),
        (
            ("noise", "slow start", "warm-up s", "runs that count %", "their p50 too high %", "by more than 1 % %"),
            rows_of_slow_starts(max(1, runs // 10)),
        ),
        (
            ("noise", "slow start of one", "warm-up s", "runs that count %", "ratio wrong %", "by more than 1 % %"),
            rows_of_rotations(max(1, runs // 10)),
        ),
        (("run s", "averaging time", "energy wrong %"), rows_of_energy(max(1, runs // 10))),
    ):
        print("| " + " | ".join(headers) + " |\n|" + " ---: |" * len(headers), flush=True)
        for row in rows:
            print("| " + " | ".join(row) + " |", flush=True)
        print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    print_tables(parser.parse_args().runs)
