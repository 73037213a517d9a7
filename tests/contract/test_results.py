"""What others rely on: the JSON of a measurement, and that a store of each FORMAT_VERSION stays readable.

store-v1/ and profile-v1.json were written by the first edgebench of that version. They are never made anew: where a
test fails, the code has broken a promise.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebench.measurement import FORMAT_VERSION, Measurement, measurements_to_json
from edgebench.store import Store

HERE = Path(__file__).parent
ID = "20250102T030405-abcdef-000"
MS = 1_000_000


@pytest.fixture
def measurement(tmp_path: Path) -> Measurement:
    """The golden measurement, read from a copy."""
    shutil.copytree(HERE / "store-v1", tmp_path / "store")
    return Store(tmp_path / "store").measurement(ID)


def test_there_is_a_golden_store_of_every_version() -> None:
    for version in range(1, FORMAT_VERSION + 1):
        assert (HERE / f"store-v{version}").is_dir()


def test_a_store_of_version_1_is_read(measurement: Measurement) -> None:
    first, second = measurement.runs
    assert first.latencies_ns.tolist() == [10 * MS + number * MS // 100 for number in range(100)]
    assert second.latencies_ns.tolist() == [11 * MS + number * MS // 100 for number in range(100)]
    assert first.trace.items.tolist() == [number % 30 for number in range(100)]
    assert np.diff(first.trace.starts_ns).tolist() == [ns + 1000 for ns in first.latencies_ns[:-1].tolist()]
    assert first.trace.warmup_latencies_ns.tolist() == [20 * MS, 12 * MS]
    readings = {name: series.values.tolist() for name, series in first.trace.readings.items()}
    assert readings == {
        "temperature_mc/cpu-thermal": [48_000, 52_000],
        "throttled": [0, 0],
        "rss_bytes": [250_000_000, 300_000_000],
    }
    assert measurement.subject.variant.lineage is not None
    assert measurement.subject.variant.lineage.intermediate[0].languages == ("en", "sw")
    assert measurement.subject.artifact.parity is not None
    assert measurement.subject.planned_runs == 2
    assert measurement.overhead_us is None  # came later


def test_its_figures_are_what_they_were(measurement: Measurement) -> None:
    expected = json.loads((HERE / "profile-v1.json").read_text())
    found = json.loads(json.dumps(measurements_to_json([measurement]), allow_nan=False))
    for document in (found, expected):
        del document["edgebench_version"]
    # A percentile was that of all latencies together, beside the interval of the typical run's. Now both are the
    # typical run's: the geometric mean over the runs, where each run has enough inferences.
    (now,), (then,) = found["measurements"], expected["measurements"]
    for name, per_run in (("p50", (10.495, 11.495)), ("p90", (10.891, 11.891))):
        assert now["latency_ms"].pop(name) == pytest.approx((per_run[0] * per_run[1]) ** 0.5)
        del then["latency_ms"][name]
    assert_alike(found, expected, "")


def assert_alike(found: Any, expected: Any, where: str) -> None:
    """Compare all that the golden document has; new keys may have come, figures may differ in their last digits."""
    if isinstance(expected, dict):
        assert isinstance(found, dict), where
        for key, value in expected.items():
            assert key in found, f"{where}.{key} is gone"
            assert_alike(found[key], value, f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for number, value in enumerate(expected):
            assert_alike(found[number], value, f"{where}[{number}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-12), where
    else:
        assert found == expected, where


def test_the_golden_figures_are_right() -> None:
    """Worked out by hand from the latencies 10.00 .. 10.99 and 11.00 .. 11.99 ms, 1 us apart, 5,000 tokens a run."""
    (golden,) = json.loads((HERE / "profile-v1.json").read_text())["measurements"]
    latency = golden["latency_ms"]
    assert (latency["min"], latency["max"]) == (10.0, 11.99)
    assert latency["p50"] == latency["mean"] == pytest.approx(10.995)
    assert latency["p90"] == pytest.approx(11 + 0.79 + 0.001)  # between the 180th and 181st of 200
    assert latency["p95"] == pytest.approx(11 + 0.89 + 0.0005)
    assert (latency["p99"], latency["p999"], latency["p95_ci"]) == (None, None, None)
    medians = np.log([10.495, 11.495])
    half = 12.7062047 * medians.std(ddof=1) / np.sqrt(2)
    assert latency["p50_ci"] == pytest.approx(np.exp([medians.mean() - half, medians.mean() + half]).tolist())
    seconds = [(100 * 10.495 + 99 * 0.001) / 1000, (100 * 11.495 + 99 * 0.001) / 1000]
    assert golden["throughput_per_s"] == pytest.approx(sum(100 / s for s in seconds) / 2)
    assert golden["tokens_per_s"] == pytest.approx(sum(5000 / s for s in seconds) / 2)
    assert (golden["load_ms"], golden["first_ms"]) == (410, 25)
    assert golden["memory_bytes"]["peak_rss"] == 300_000_001
    assert golden["temperature_c"] == {"start": 48, "max": 53}


#: What `profile --json` has had from the first version on; tests/contract/test_schemas.py checks every key.
MEASUREMENT = {
    "id": str,
    "variant": {"name", "source", "lineage", "parameters"},
    "artifact": {"format", "sha256", "bytes", "files", "path"},
    "device": {
        "name", "profile", "model", "arch", "cores", "memory_bytes", "os", "python", "runtime", "runtime_version",
    },
    "workload": {"scenario", "lang", "batch", "threads", "padding"},
    "runs": list,
    "latency_ms": {"mean", "min", "p50", "p90", "p95", "p99", "max", "p50_ci"},
    "throughput_per_s": float,
    "throughput_windows": list,
    "tokens_per_s": float,
    "load_ms": float,
    "first_ms": float,
    "covers": str,
    "memory_bytes": {"peak_rss", "peak_pss", "before_load", "after_load"},
    "temperature_c": {"start", "max"},
    "energy_j": type(None),
    "overhead_us": type(None),
    "validity": {"valid", "reasons"},
    "scores": list,
}  # fmt: skip
RUN = {
    "id", "valid", "reasons", "latencies_count", "latency_ms", "load_ms", "first_ms", "peak_rss_bytes",
    "peak_pss_bytes", "started_at",
}  # fmt: skip


def test_the_document_has_everything_that_the_contract_names(measurement: Measurement) -> None:
    document = measurements_to_json([measurement])
    assert set(document) == {"format_version", "edgebench_version", "measurements"}
    assert document["format_version"] == FORMAT_VERSION
    (found,) = document["measurements"]
    for name, expected in MEASUREMENT.items():
        if isinstance(expected, set):
            assert expected <= set(found[name]), name
        else:
            assert isinstance(found[name], expected), name  # type: ignore[arg-type]
    for run in found["runs"]:
        assert set(run) >= RUN
    assert found["artifact"]["files"] == ["model.onnx"]


def test_python_gives_what_the_contract_shows(measurement: Measurement) -> None:
    assert measurement.latency_ms.p95 == pytest.approx(11.8905)
    assert measurement.memory_bytes.peak_pss == 280_000_000
    assert measurement.valid
    assert measurement.runs[0].latencies_ns.dtype == np.int64
