"""Verdicts on this machine where the truth is known: the same file, equal geometries, int8 against fp32, a bare loop.

    python -m benchmarks.real_pairs [--model reference:minilm] [--tries 20] [--runs 6] [--by-themselves]

The same file is compared in so many tries of fixed runs; equal geometries as `profile --until-decided` does, or with
`--equal-runs` each. Every verdict is that of `edgebench compare` on what `edgebench profile --alternate` measured (by
themselves: without `--alternate`, runs interleaved); a bare loop is compared in turns of a quarter of a second, by the
same verdict at ±1 %. One thread by default: two threads on two cores of a virtual machine wait for each other whenever
the host takes one away.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

import edgebench
from benchmarks.overhead import Bench, processes_of
from edgebench.analysis import compare_rows
from edgebench.analysis.comparison import Comparison
from edgebench.artifact import Format
from edgebench.board import connect_agent
from edgebench.export import export_model
from edgebench.export.reference import find_reference
from edgebench.measure import RunCollector, profile_all
from edgebench.request import Request
from edgebench.stats import LEVEL, RatioEstimate
from edgebench.stats.verdicts import judge
from edgebench.workload import RunPlan, Workload, random_inputs

SEQ_LEN = 128
BARE_MARGIN = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="reference:minilm")
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--by-themselves", action="store_true", help="each model in processes of its own")
    parser.add_argument("--equal-runs", type=int, help="fixed runs for equal geometries (else: until decided)")
    parser.add_argument("--bare-pairs", type=int, default=12)
    parser.add_argument("--bare-duration", type=float, default=40.0, help="wall time of a pair, s: half of it each")
    parser.add_argument("--turn", type=float, default=0.25, help="s")
    parser.add_argument("--min-count", type=int, default=RunPlan().min_count)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--min-duration", type=float, default=2.0)
    options = parser.parse_args()
    plan = RunPlan(runs=options.runs, min_count=options.min_count, min_duration_s=options.min_duration)
    alternate = not options.by_themselves
    with tempfile.TemporaryDirectory() as folder:
        store = edgebench.Store(Path(folder) / "store")
        int8 = str(export_model(options.model).artifact.model_path)
        said: Counter[str] = Counter()
        for _ in range(options.tries):
            (comparison,) = measured([int8, int8], (), plan, options.threads, store, alternate=alternate)
            said[comparison.latency.verdict] += 1
            print(f"the same file: {comparison.verdict}", flush=True)
        print(f"the same file against itself, {options.tries} tries: {dict(said)}", flush=True)
        for comparison in measured(
            other_weights(options.model, Path(folder)),
            (Format.ONNX_INT8,),
            replace(plan, runs=options.equal_runs or plan.runs),
            options.threads,
            store,
            until_decided=options.equal_runs is None,
            alternate=alternate,
        ):
            print(f"equal geometry, other weights: {comparison.verdict}", flush=True)
        formats = (Format.ONNX_FP32, Format.ONNX_INT8)
        for comparison in measured([options.model], formats, plan, options.threads, store, alternate=alternate):
            print(f"int8 against fp32: {comparison.verdict}", flush=True)
    said_of_loop = against_a_bare_loop(
        options.model, options.threads, options.bare_pairs, options.bare_duration, options.turn
    )
    print(said_of_loop, flush=True)


def measured(
    models: Sequence[str],
    formats: tuple[Format, ...],
    plan: RunPlan,
    threads: int,
    store: edgebench.Store,
    *,
    until_decided: bool = False,
    alternate: bool,
) -> list[Comparison]:
    """Return what is said of each model or format against the first, measured in one session."""
    request = Request(
        device=edgebench.find_device("local"),
        models=tuple(models),
        formats=formats,
        workloads=(Workload(seq_len=SEQ_LEN, threads=threads),),
        plan=plan,
        until_decided=until_decided,
        alternate=alternate,
        overhead=False,
        cold=False,
    )
    return compare_rows(profile_all(request, store=store))


def other_weights(model: str, folder: Path) -> list[str]:
    """Write two checkpoints of the reference's geometry, with weights of different seeds; return their folders."""
    import torch
    import transformers

    config = transformers.XLMRobertaConfig(**asdict(find_reference(model)))
    folders = []
    for seed in (11, 12):
        torch.manual_seed(seed)
        folders.append(str(folder / f"seed-{seed}"))
        transformers.XLMRobertaForSequenceClassification(config).save_pretrained(folders[-1])
    return folders


def against_a_bare_loop(model: str, threads: int, pairs: int, run_s: float, turn_s: float) -> str:
    """Return how our own p50 stands to that of a bare loop, each in fresh processes, two at a time in short turns.

    Of the two processes of a pair one is stopped while the other goes on, and the inferences that a stop fell into are
    left out. A neighbour that comes and goes within seconds so meets both alike: one run after the other, it is most of
    their ratio.
    """
    device = edgebench.find_device("local")
    artifact = export_model(model).artifact
    inputs = random_inputs([SEQ_LEN], vocab_size=artifact.vocab_size)
    plan = RunPlan(runs=1, min_duration_s=run_s)
    with connect_agent(device) as agent:
        agent.push_bytes(inputs.to_bytes())
        bench = Bench(agent, artifact, inputs, plan, threads)
        Bench(agent, artifact, inputs, replace(plan, min_duration_s=2.0), threads).p50()  # not counted
        found = []
        for number in range(pairs):
            bare, ours = pair_in_turns(bench, turn_s)
            found.append(typical_log_ratio(bare, ours))
            print(f"pair {number + 1}: {np.exp(found[-1]):.4f}, of {len(bare)} and {len(ours)} turns", flush=True)
    logs = np.array(found)
    estimate = RatioEstimate(
        log_ratio=float(logs.mean()),
        standard_error=float(logs.std(ddof=1) / np.sqrt(pairs)),
        df=pairs - 1,
        spread=float(logs.std(ddof=1)),
        runs=(pairs, pairs),
        drift="none",
    )
    low, high = estimate.interval(LEVEL)
    return (
        f"p50 by edgebench is {judge(estimate, margin=BARE_MARGIN, level=LEVEL)} to that of a bare loop: ratio "
        f"{estimate.ratio:.4f} ({100 * LEVEL:g} % {low:.4f} to {high:.4f}, margin ±{100 * BARE_MARGIN:g} %, "
        f"{pairs} + {pairs} runs, turns of {turn_s:g} s)"
    )


def pair_in_turns(bench: Bench, turn_s: float) -> tuple[dict[int, float], dict[int, float]]:
    """Return the medians of a bare loop's turns and of our own run's, ns: by the number of the turn."""
    spec = bench.spec()
    bench.agent.launch(spec)
    loop = subprocess.Popen(bench.bare_command(), stdout=subprocess.PIPE)
    sides = ([psutil.Process(loop.pid)], processes_of(spec.run_id))
    stopped: tuple[list[int], list[int]] = ([], [])  # when each side was told to stop
    going, resting = 0, 1
    try:
        while all(_is_alive(process) for side in sides for process in side):
            stopped[resting].append(time.monotonic_ns())
            _signal(sides[resting], signal.SIGSTOP)
            _signal(sides[going], signal.SIGCONT)
            time.sleep(turn_s)
            going, resting = resting, going
    finally:
        over = time.monotonic_ns()
        for side in sides:
            _signal(side, signal.SIGCONT)
    collector = RunCollector(spec)
    for entry in bench.agent.follow(spec.run_id):
        collector.take(entry)
    trace = collector.run().trace
    said = json.loads(loop.communicate()[0])
    series = (
        (np.array(said["starts"], np.int64), np.array(said["latencies"], np.int64)),
        (trace.starts_ns, trace.latencies_ns),
    )
    began = max(int(starts[0]) for starts, _ in series)
    bare, ours = (
        _medians_of_turns(starts, latencies, np.array(stops), (began, over))
        for (starts, latencies), stops in zip(series, stopped, strict=True)
    )
    return bare, ours


def typical_log_ratio(bare: Mapping[int, float], ours: Mapping[int, float]) -> float:
    """Return the median over our turns of how they stand to the bare loop's before and after: the n-th before ours is
    its n-1st, for it goes first."""
    between = [turn for turn in ours if turn in bare and turn - 1 in bare]
    return float(np.median([np.log(ours[turn]) - np.log(bare[turn - 1] * bare[turn]) / 2 for turn in between]))


def _medians_of_turns(
    starts: NDArray[np.int64], latencies: NDArray[np.int64], stops: NDArray[np.int64], between: tuple[int, int]
) -> dict[int, float]:
    """Return the median latency of each turn, without inferences that were going on when their process was stopped."""
    turns = np.searchsorted(stops, starts)
    kept = (turns == np.searchsorted(stops, starts + latencies)) & (starts >= between[0])
    kept &= starts + latencies < between[1]
    return {int(turn): float(np.median(latencies[kept & (turns == turn)])) for turn in np.unique(turns[kept])}


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


if __name__ == "__main__":
    main()
