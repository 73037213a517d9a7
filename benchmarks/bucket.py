"""A store of 10,000 runs in a bucket: what its list and percentiles of one variant cost: python -m benchmarks.bucket

The bucket is moto's server in a process of its own, on loopback. `--runs N` makes a smaller store. The store is filled
as `runs sync` fills it; the runs are of ten variants, six runs each measurement, 500 inferences each run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.process_costs import cost_of
from tests.sample_runs import MS, run, subject, trace
from tests.store.bucket_server import make_bucket, s3_server, settings_of

_RUNS, _VARIANTS, _RUNS_EACH, _INFERENCES = 10_000, 10, 6, 500
_ADDRESS = "s3://benchmark/store"
_EDGEBENCH = [sys.executable, "-m", "edgebench", "runs"]


def main() -> None:
    """Fill a bucket; print what commands cost that read it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=_RUNS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        _serve()
        return
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bucket", "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with tempfile.TemporaryDirectory() as folder:
        try:
            assert server.stdout is not None
            endpoint = server.stdout.readline().strip()
            environment = settings_of(endpoint)
            make_bucket(endpoint, "benchmark")
            print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
            _fill(Path(folder) / "filling", options.runs, environment)
            for name, command in _commands().items():
                for replica in ("first", "again"):
                    home = {"XDG_DATA_HOME": str(Path(folder) / name.replace(" ", "-"))}
                    cost = cost_of([*_EDGEBENCH, *command, "--store", _ADDRESS], environment=environment | home)
                    print(f"{name}, {replica} time on a machine: {cost} (load {os.getloadavg()[0]:.1f})", flush=True)
        finally:
            server.terminate()
            server.wait()


def _commands() -> Mapping[str, list[str]]:
    query = "SELECT count(*), quantile_cont(latency_ns, [0.5, 0.95, 0.99]) FROM inferences"
    return {"list": ["list"], "percentiles of one variant": ["sql", "--variant", "variant-3", query]}


def _serve() -> None:
    with s3_server() as endpoint:
        print(endpoint, flush=True)
        sys.stdin.read()


def _fill(home: Path, count: int, environment: Mapping[str, str]) -> None:
    """Write runs into the replica, as a session leaves them that can't reach the bucket, and bring them there."""
    import numpy as np

    from edgebench.store.files import to_text
    from edgebench.store.run_json import run_to_json
    from edgebench.store.traces import write_trace

    os.environ.update(environment, XDG_DATA_HOME=str(home))
    from edgebench import Store

    store = Store(_ADDRESS)
    numbers = np.random.default_rng(1)
    kept = trace(
        (numbers.lognormal(3, 0.05, _INFERENCES) * MS).astype(int).tolist(),
        readings={"cpu_khz": [1_500_000] * 100, "temperature_cpu": [50_000] * 100},
    )
    sample = home / "trace.parquet"
    home.mkdir(parents=True)
    write_trace(sample, kept)
    document = run_to_json(subject(0), run(subject(0), 0, kept))
    for number in range(count):
        session, of = divmod(number // _RUNS_EACH, _VARIANTS)
        name = f"2025{1 + session // 28 % 12:02d}{1 + session % 28:02d}T030405-{session:06x}"
        about = replace(subject(of, name=f"variant-{of}"), id=f"{name}-{of:03d}", session=name, planned_runs=_RUNS_EACH)
        one = {"id": f"{about.id}-{number % _RUNS_EACH:03d}-{number:06x}"}
        values = document | {
            "planned_runs": _RUNS_EACH,
            "subject": document["subject"] | {"id": about.id, "session": name, "variant": about.variant.to_json()},
            "run": document["run"] | one,
        }
        folder = store.folder / "runs" / one["id"]
        folder.mkdir(parents=True)
        shutil.copyfile(sample, folder / "trace.parquet")
        (folder / "run.json").write_text(to_text(values), encoding="utf-8")
    start = time.perf_counter()
    brought = store.sync()
    print(f"{brought.runs} runs brought to the bucket in {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
