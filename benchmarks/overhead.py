"""What edgebench itself costs: latency against a bare loop, the null runtime, memory, the start of the command line.

python -m benchmarks.overhead [--model reference:minilm] [--pairs 40] [--threads 1]

One thread by default: two threads on two cores of a virtual machine wait for each other whenever the host takes one
away, and a run's median then says more about the neighbours than about the loop.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import edgebench
from benchmarks.pairs import interleaved
from edgebench.artifact import Artifact
from edgebench.board import RemoteAgent, connect_agent
from edgebench.export import export_model
from edgebench.measure import RunCollector, collect_run, run_spec
from edgebench.workload import EncodedInputs, RunPlan, Workload, random_inputs
from edgebench_agent import protocol

#: A loop with nothing around it: the same runtime, session options and inputs, in a fresh process of its own.
BARE_LOOP = """
import gc, json, sys, time
import numpy as np
import onnxruntime
spec = json.loads(sys.argv[1])
options = onnxruntime.SessionOptions()
if spec["threads"]:
    options.intra_op_num_threads = spec["threads"]
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(spec["model"], options, providers=["CPUExecutionProvider"])
ids = np.frombuffer(bytes.fromhex(spec["ids"]), "<i4").astype(np.int64)[None]
feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
for _ in range(spec["warmup"]):
    session.run(None, feed)
gc.disable()
latencies, starts = [], []
began = time.perf_counter_ns()
while len(latencies) < spec["min_count"] or time.perf_counter_ns() - began < spec["min_duration_ns"]:
    start = time.perf_counter_ns()
    session.run(None, feed)
    latencies.append(time.perf_counter_ns() - start)
    starts.append(start)
with open("/proc/self/smaps_rollup") as file:
    pss = next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
print(json.dumps({"p50_ns": float(np.median(latencies)), "pss_bytes": pss, "starts": starts, "latencies": latencies}))
"""


class Bench:
    """The agent on this machine, and one artifact with one input."""

    def __init__(
        self, agent: RemoteAgent, artifact: Artifact, inputs: EncodedInputs, plan: RunPlan, threads: int
    ) -> None:
        self.agent = agent
        self.artifact = artifact
        self.inputs = inputs
        self.plan = plan
        self.threads = threads
        self.warmup = 20
        self._number = 0

    def spec(self, **changes: object) -> protocol.RunSpec:
        """Return the specification of the next run."""
        self._number += 1
        plain = run_spec(
            self.agent,
            self.artifact,
            Workload(seq_len=int(self.inputs.lengths[0]), threads=self.threads),
            self.inputs,
            run_id=f"bench-{time.time_ns()}-{self._number}",
            providers=[],
            plan=self.plan,
        )
        return replace(plain, **changes)  # type: ignore[arg-type]

    def measure(self, spec: protocol.RunSpec) -> RunCollector:
        """Measure one run."""
        return collect_run(self.agent, spec)

    def bare(self) -> dict[str, Any]:
        """Run the bare loop, with as many warm-up inferences as the agent last found enough; return what it says."""
        found: dict[str, float] = json.loads(
            subprocess.run(self.bare_command(), check=True, capture_output=True).stdout
        )
        return found

    def bare_command(self) -> list[str]:
        """Return the command of the bare loop."""
        spec = {
            "model": str(self.artifact.model_path),
            "threads": self.threads,
            "ids": self.inputs.to_bytes().hex(),
            "warmup": self.warmup,
            "min_count": self.plan.min_count,
            "min_duration_ns": round(self.plan.min_duration_s * 1e9),
        }
        return [sys.executable, "-c", BARE_LOOP, json.dumps(spec)]

    def p50(self) -> float:
        """Return the median latency that edgebench measures, ns."""
        run = self.measure(self.spec()).run()
        self.warmup = len(run.trace.warmup_latencies_ns)
        return float(np.median(run.latencies_ns))

    def tree_pss(self) -> int:
        """Return the PSS of the agent's two processes together, in the middle of a run."""
        spec = self.spec(min_duration_ns=5_000_000_000)
        self.agent.launch(spec)
        highest = 0
        for entry in self.agent.follow(spec.run_id):
            if isinstance(entry.message, protocol.Latencies) and not entry.message.warmup:
                highest = max(highest, _pss_of(spec.run_id))
        return highest


def _pss_of(run_id: str) -> int:
    """Return the PSS of every process that has the run's name in its command line, followers not counted."""
    return sum(process.memory_full_info().pss for process in processes_of(run_id))


def processes_of(run_id: str) -> list[psutil.Process]:
    """Return every process that has the run's name in its command line, followers not counted."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(run_id in word for word in words) and "follow" not in words:
            found.append(process)
    return found


def command_seconds(*command: str) -> float:
    """Return the wall time of a command."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="reference:minilm")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--min-duration", type=float, default=2.0)
    options = parser.parse_args()

    help_ratio = interleaved(
        lambda: command_seconds(str(Path(sys.executable).with_name("edgebench")), "--help"),
        lambda: command_seconds(sys.executable, "-c", "import click"),
        pairs=options.pairs,
    )
    print(f"edgebench --help / python -c 'import click': {help_ratio}", flush=True)

    device = edgebench.find_device("local")
    artifact = export_model(options.model, "onnx-int8").artifact
    inputs = random_inputs([128], vocab_size=artifact.vocab_size)
    plan = RunPlan(runs=1, min_count=100, min_duration_s=options.min_duration)
    with connect_agent(device) as agent:
        agent.push_bytes(inputs.to_bytes())
        bench = Bench(agent, artifact, inputs, plan, options.threads)

        null = bench.measure(bench.spec(runtime="null", files=[])).run()
        print(
            f"null runtime: p50 {np.median(null.latencies_ns):.0f} ns, mean {null.latencies_ns.mean():.0f} ns, "
            f"p99 {np.quantile(null.latencies_ns, 0.99):.0f} ns over {len(null.latencies_ns)} inferences; "
            f"whole loop {np.diff(null.trace.starts_ns).mean():.0f} ns per inference",
            flush=True,
        )
        extra = bench.tree_pss() - bench.bare()["pss_bytes"]
        print(f"agent and sensor process: {extra / 1e6:.1f} MB PSS more than a bare loop", flush=True)
        ratio = interleaved(bench.p50, lambda: bench.bare()["p50_ns"], pairs=options.pairs)
        print(
            f"p50 by edgebench / by a bare loop, {options.model} onnx-int8, 128 tokens, "
            f"threads {options.threads}: {ratio}",
            flush=True,
        )


if __name__ == "__main__":
    main()
