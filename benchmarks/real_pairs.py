"""Verdicts on this machine where the truth is known: the same file, equal geometries, int8 against fp32, a bare loop.

    python -m benchmarks.real_pairs [--model reference:minilm] [--tries 20] [--runs 6] [--bare-runs 12]

The same file is compared in so many tries of fixed runs; equal geometries as `profile --until-decided` does. Every
verdict is that of `edgebench compare` on what `edgebench profile` measured, interleaved. One thread by default: two
threads on two cores of a virtual machine wait for each other whenever the host takes one away.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import edgebench
from benchmarks.overhead import Bench
from edgebench.artifact import Format
from edgebench.comparison import Comparison, compare_rows
from edgebench.export import export_model
from edgebench.export.reference import find_reference
from edgebench.remote_agent import RemoteAgent
from edgebench.request import Request
from edgebench.schedule import order_of_runs
from edgebench.session import profile_all
from edgebench.stats.ratio import estimate_ratio
from edgebench.stats.verdicts import LEVEL, judge
from edgebench.transport import open_transport
from edgebench.workload import RunPlan, Workload, random_inputs

SEQ_LEN = 128
BARE_MARGIN = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="reference:minilm")
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--bare-runs", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--min-duration", type=float, default=2.0)
    options = parser.parse_args()
    plan = RunPlan(runs=options.runs, min_duration_s=options.min_duration)
    with tempfile.TemporaryDirectory() as folder:
        store = edgebench.Store(Path(folder) / "store")
        int8 = str(export_model(options.model).artifact.model_path)
        said: Counter[str] = Counter()
        for _ in range(options.tries):
            (comparison,) = measured([int8, int8], (), plan, options.threads, store)
            said[comparison.latency.verdict] += 1
            print(f"the same file: {comparison.verdict}", flush=True)
        print(f"the same file against itself, {options.tries} tries: {dict(said)}", flush=True)
        for comparison in measured(
            other_weights(options.model, Path(folder)),
            (Format.ONNX_INT8,),
            plan,
            options.threads,
            store,
            until_decided=True,
        ):
            print(f"equal geometry, other weights: {comparison.verdict}", flush=True)
        formats = (Format.ONNX_FP32, Format.ONNX_INT8)
        for comparison in measured([options.model], formats, plan, options.threads, store):
            print(f"int8 against fp32: {comparison.verdict}", flush=True)
    print(against_a_bare_loop(options.model, plan, options.threads, options.bare_runs), flush=True)


def measured(
    models: Sequence[str],
    formats: tuple[Format, ...],
    plan: RunPlan,
    threads: int,
    store: edgebench.Store,
    *,
    until_decided: bool = False,
) -> list[Comparison]:
    """Return what is said of each model or format against the first, measured in one session."""
    request = Request(
        device=edgebench.find_device("local"),
        models=tuple(models),
        formats=formats,
        workloads=(Workload(seq_len=SEQ_LEN, threads=threads),),
        plan=plan,
        until_decided=until_decided,
        own_cost=False,
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


def against_a_bare_loop(model: str, plan: RunPlan, threads: int, runs: int) -> str:
    """Return how our own p50 stands to that of a bare loop: our order of runs, our model of the drift, our verdict."""
    device = edgebench.find_device("local")
    artifact = export_model(model).artifact
    inputs = random_inputs([SEQ_LEN], vocab_size=artifact.vocab_size)
    with open_transport(device) as transport:
        agent = RemoteAgent(transport, name=device.name, python=device.python)
        agent.install()
        agent.push_bytes(inputs.to_bytes())
        bench = Bench(agent, artifact, inputs, plan, threads)
        bench.p50()  # not counted: it also tells how much warm-up is enough
        figures: list[list[float]] = [[], []]
        times: list[list[float]] = [[], []]
        for side in order_of_runs(2, runs, seed=1):
            times[side].append(datetime.now(UTC).timestamp())
            figures[side].append(bench.p50() if side else bench.bare()["p50_ns"])
    estimate = estimate_ratio(
        np.array(figures[0]),
        np.array(figures[1]),
        baseline_times=np.array(times[0]),
        candidate_times=np.array(times[1]),
    )
    low, high = estimate.interval(LEVEL)
    return (
        f"p50 by edgebench is {judge(estimate, margin=BARE_MARGIN, level=LEVEL)} to that of a bare loop: ratio "
        f"{estimate.ratio:.4f} ({100 * LEVEL:g} % {low:.4f} to {high:.4f}, margin ±{100 * BARE_MARGIN:g} %, "
        f"{runs} + {runs} runs)"
    )


if __name__ == "__main__":
    main()
