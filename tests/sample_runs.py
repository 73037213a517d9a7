"""Runs and subjects to test with: plain figures that a reader can check by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgebench.artifact import Artifact, ArtifactFile, Format
from edgebench.facts import DeviceFacts, RunFacts
from edgebench.measurement import Subject
from edgebench.reason import reasons_from_json
from edgebench.run import Memory, Run, Series, Trace
from edgebench.variant import Variant

MS = 1_000_000  # nanoseconds
START_NS = 5_000_000_000


def subject(
    number: int = 0,
    *,
    name: str = "xnli-multi",
    source: str = "runs/xnli-multi",
    format: str = "onnx-int8",
    device: str = "pi4",
    planned_runs: int = 2,
    label: str = "128 tok",
    workload: Mapping[str, Any] | None = None,
) -> Subject:
    """Return a subject whose id ends in `number`."""
    return Subject(
        id=f"20250102T030405-abcdef-{number:03d}",
        session="20250102T030405-abcdef",
        variant=Variant(name=name, source=source, parameters=118_000_000),
        artifact=Artifact(
            format=Format(format),
            files=(ArtifactFile(name="model.onnx", sha256=f"{number:064x}", bytes=118_000_000),),
            path=Path("/models/xnli-multi"),
        ),
        device=DeviceFacts(name=device, profile="pi4", runtime="onnxruntime", runtime_version="1.22.0"),
        workload=workload
        or {"scenario": "single-stream", "seq_len": 128, "batch": 1, "threads": 4, "padding": "longest"},
        label=label,
        planned_runs=planned_runs,
    )


def trace(
    latencies_ns: Sequence[int],
    *,
    pause_ns: int = 0,
    readings: Mapping[str, Sequence[int]] | None = None,
    warmup_ns: Sequence[int] = (),
) -> Trace:
    """Return a trace of inferences that follow each other, `pause_ns` between them; one reading every 100 ms."""
    latencies, warmup = np.asarray(latencies_ns, np.int64), np.asarray(warmup_ns, np.int64)
    return Trace(
        starts_ns=START_NS + np.cumsum(latencies + pause_ns) - latencies - pause_ns,
        latencies_ns=latencies,
        items=np.zeros(len(latencies), np.int64),
        warmup_starts_ns=np.cumsum(warmup) - warmup,
        warmup_latencies_ns=warmup,
        warmup_items=np.zeros(len(warmup), np.int64),
        readings={
            name: Series(START_NS + 100 * MS * np.arange(len(values), dtype=np.int64), np.asarray(values, np.int64))
            for name, values in (readings or {}).items()
        },
    )


def run(of: Subject, number: int, kept: Trace, **changes: Any) -> Run:
    """Return run `number` of a subject; `changes` are fields of Run, facts as JSON has them, reasons by their texts."""
    count = len(kept.latencies_ns)
    values: dict[str, Any] = {
        "id": f"{of.id}-{number:03d}",
        "started_at": f"2025-01-02T03:04:{number:02d}.000+00:00",
        "trace": kept,
        "load_ns": 400 * MS,
        "first_ns": 25 * MS,
        "memory": Memory(peak_rss=300_000_000, peak_pss=280_000_000, before_load=60_000_000, after_load=200_000_000),
        "facts": {"runtime": "onnxruntime", "providers": ["CPUExecutionProvider"], "warmup_steady": True},
        "tokens": 128 * count,
        "inferences": count,
    }
    values |= changes
    values["facts"] = RunFacts.from_json(values["facts"])
    values["reasons"] = reasons_from_json(values.get("reasons", ()), None)
    return Run(**values)
