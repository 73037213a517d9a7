"""How often a rate whose p99 is exactly at the bound is confirmed, and what a search for a rate takes, on known queues.

    python -m benchmarks.queues [--repeats 1000]

Simulated, seeded: one server, first come, first served, Poisson arrivals, service times that spread by 3 %, each run
from an empty queue; `run sd`: all service times of a run share a factor. The bound is five service times. "At the
bound" means that 1 % of all queries, over runs as well, exceed it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.tables import print_markdown
from edgebench.stats import Probe, RateSearch, percentile_bound_holds, queue_bound_holds

SERVICE_NS = 50e6  # 50 ms
BOUND = 5.0  # service times
PROBE = 1_001
RUNS = 6
#: Spread between runs, and the rate in queries per service time at which 1 % of all queries exceed the bound; found by
#: simulating 300,000 queries in 200 runs (`rate_at_the_bound`).
BOUNDARIES = ((0.0, 0.563), (0.03, 0.558), (0.1, 0.516))


def run(rate: float, queries: int, run_sd: float, random: np.random.Generator) -> NDArray[np.int64]:
    """Return latencies in order of arrival, ns, of a run at a rate (queries per service time)."""
    factor = math.exp(random.normal(0, run_sd))
    service = factor * np.exp(random.normal(0, 0.03, queries))
    gaps = random.exponential(1 / rate, queries)
    steps = np.cumsum(np.concatenate([[0.0], service[:-1] - gaps[1:]]))
    waits = steps - np.minimum.accumulate(steps)  # Lindley's recursion
    return np.asarray((waits + service) * SERVICE_NS, np.int64)


def rate_at_the_bound(run_sd: float, *, runs: int = 3000, queries: int = 1_667) -> float:
    """Return the rate at which 1 % of all queries exceed the bound, by bisection with common random numbers."""
    low, high = 0.2, 0.7
    for _ in range(9):
        rate, random = (low + high) / 2, np.random.default_rng(7)
        over = np.mean([(run(rate, queries, run_sd, random) > BOUND * SERVICE_NS).mean() for _ in range(runs)])
        low, high = (rate, high) if over < 0.01 else (low, rate)
    return (low + high) / 2


def early_stopping(runs: Sequence[NDArray[np.int64]]) -> bool:
    """Say whether the bound holds by LoadGen's early stopping, which takes all queries as independent."""
    latencies = np.concatenate(runs)
    return percentile_bound_holds(len(latencies), int((latencies > BOUND * SERVICE_NS).sum()))


def confirmations(repeats: int) -> Iterator[list[str]]:
    """Yield how often runs confirm a rate: at the bound, and below it."""
    for run_sd, boundary in BOUNDARIES:
        for share in (1.0, 0.9, 0.8, 0.7):
            for queries in (112, 1_667):
                random = np.random.default_rng(queries)
                passes = old = 0
                for _ in range(repeats):
                    runs = [run(share * boundary, queries, run_sd, random) for _ in range(RUNS)]
                    passes += queue_bound_holds(runs, BOUND * SERVICE_NS)
                    old += early_stopping(runs)
                yield [
                    f"{100 * run_sd:.0f} %",
                    f"{100 * share:.0f} %",
                    f"{RUNS} x {queries}",
                    f"{100 * old / repeats:.1f}",
                    f"{100 * passes / repeats:.1f}",
                ]


def search(run_sd: float, random: np.random.Generator, *, queries: int = 1_667) -> tuple[float | None, int, float]:
    """Return the rate that a whole search confirms, how many queries it took, and their time in service times."""
    state = RateSearch(latency_bound_ms=BOUND * SERVICE_NS / 1e6, service_ms=SERVICE_NS / 1e6)
    unit = SERVICE_NS / 1e9
    count, time = 662, 662.0
    while state.qps is None:
        rate = state.next_rate()
        size, runs = (PROBE, 1) if rate is not None else (queries, RUNS)
        rate = rate if rate is not None else state.candidate()
        if rate is None:
            return None, count, time
        measured = [run(rate * unit, size, run_sd, random) for _ in range(runs)]
        holds = early_stopping(measured) if runs == 1 else queue_bound_holds(measured, BOUND * SERVICE_NS)
        count, time = count + runs * size, time + runs * size / (rate * unit)
        over = int(sum((each > BOUND * SERVICE_NS).sum() for each in measured))
        probe = Probe(
            queries_per_s=rate, queries=runs * size, over_bound=over, p99_ms=None, holds=holds, runs=runs * (runs > 1)
        )
        state = replace(state, probes=(*state.probes, probe))
    return state.qps * unit, count, time


def searches(repeats: int) -> Iterator[list[str]]:
    """Yield what whole searches end with."""
    for run_sd, boundary in BOUNDARIES:
        found = [search(run_sd, np.random.default_rng(seed)) for seed in range(repeats)]
        rates = np.array([rate for rate, _, _ in found if rate is not None]) / boundary
        minutes = np.array([time for _, _, time in found]) * SERVICE_NS / 1e9 / 60
        yield [
            f"{100 * run_sd:.0f} %",
            f"{100 * len(rates) / repeats:.0f}",
            f"{100 * (rates > 1).sum() / repeats:.1f}",
            f"{np.median(rates):.2f}",
            f"{np.median([count for _, count, _ in found]):.0f}",
            f"{np.median(minutes):.0f} ({np.quantile(minutes, 0.9):.0f})",
        ]


CONFIRMATIONS = ("run sd", "rate / rate at the bound", "queries", "early stopping passes %", "confirmed %")
SEARCHES = (
    "run sd",
    "ends with a rate %",
    "rate beyond the bound %",
    "rate / rate at the bound",
    "queries",
    "minutes at 50 ms: median (90 %)",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1000)
    repeats = parser.parse_args().repeats
    print_markdown(CONFIRMATIONS, confirmations(repeats))
    print(f"\n{repeats} repeats a row\n")
    print_markdown(SEARCHES, searches(max(1, repeats // 4)))
    print(f"\n{max(1, repeats // 4)} searches a row")


if __name__ == "__main__":
    main()
