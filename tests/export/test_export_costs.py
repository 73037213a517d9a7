"""The benchmark of exports against Optimum: what a command costs, two files in turn, rows and their limits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.onnx_files import OnnxFile, random_ids, time_in_turn
from benchmarks.optimum import optimum_python, quantise_option
from benchmarks.process_costs import cost_of
from benchmarks.rows import Row, print_rows
from edgebench.export import export_model


def test_cost_has_memory_and_time_of_what_a_command_starts() -> None:
    code = (
        "import time; data = b'1' * 200_000_000; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    )
    cost = cost_of([sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"])
    assert cost.peak_rss_bytes > 200_000_000
    assert cost.cpu_s > 0.3 and cost.wall_s > 0.3
    both = cost + cost
    assert (both.cpu_s, both.peak_rss_bytes) == (2 * cost.cpu_s, cost.peak_rss_bytes)


def test_failing_command_ends_the_benchmark_with_its_log() -> None:
    with pytest.raises(SystemExit, match=r"(?s)ended with 3.*no such thing"):
        cost_of([sys.executable, "-c", "import sys; print('no such thing', flush=True); sys.exit(3)"])


@pytest.mark.parametrize(
    "value, least, most, met",
    [(0.92, None, 0.92, True), (0.93, None, 0.92, False), (-3.4, -3.4, None, True), (-3.5, -3.4, None, False)],
)
def test_row_is_met_at_its_limit(value: float, least: float | None, most: float | None, met: bool) -> None:
    row = Row(what="a figure", value=value, least=least, most=most)
    assert row.is_met == met
    assert print_rows([Row(what="another", value=1.0, most=2.0), row]) == met


def test_python_without_optimum_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no optimum-cli"):
        optimum_python(tmp_path / "python")
    assert quantise_option() in ("--arm64", "--avx2", "--avx512_vnni")


@pytest.mark.export
def test_two_files_are_timed_in_turn(cache: Path) -> None:
    path = export_model("reference:tiny", "onnx-fp32", task="encoder", cache=cache).artifact.model_path
    ratio = time_in_turn(path, path, random_ids(1000, 8), pairs=20)
    assert 0 < ratio.low <= ratio.thread <= ratio.high
    vectors = OnnxFile(path).vectors([[5, 6], [5, 6], [7, 8, 9]])
    assert vectors.shape == (3, 64)
    assert (vectors[0] == vectors[1]).all() and (vectors[0] != vectors[2]).any()
