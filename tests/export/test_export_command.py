"""`edgebench export`: what it prints where, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.fork_server import edgebench_command
from tests.needed import need
from tests.schemas import check_schema

need("torch")
pytestmark = pytest.mark.export


def edgebench(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*edgebench_command(), "export", *arguments],
        env={**os.environ, "EDGEBENCH_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_json_alone_goes_to_standard_output(classifier: Path, cache: Path, tmp_path: Path) -> None:
    formats = "onnx-fp32,onnx-int8"
    result = edgebench(cache, "--model", str(classifier), "--format", formats, "--json", "-", "--out", str(tmp_path))
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    check_schema(document, "export")
    artifacts = document["artifacts"]
    assert [artifact["format"] for artifact in artifacts] == ["onnx-fp32", "onnx-int8"]
    for artifact in artifacts:
        assert {"sha256", "bytes", "files", "path", "seconds", "peak_rss_bytes"} <= set(artifact)
        assert {"max_abs_diff", "cosine", "argmax_agreement", "examples"} <= set(artifact["parity"])
        sizes = [(Path(artifact["path"]) / name).stat().st_size for name in artifact["files"]]
        assert sum(sizes) == artifact["bytes"]
        assert tmp_path in Path(artifact["path"]).parents


def test_the_table_is_the_result_and_progress_is_not(classifier: Path, cache: Path, tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    result = edgebench(cache, "--model", str(classifier), "--format", "onnx-fp32", "-v", "--json", str(target))
    assert result.returncode == 0, result.stderr
    title, _, row, path = result.stdout.splitlines()
    assert title.split()[:2] == ["variant", "format"]
    assert row.split()[:2] == ["xnli-multi", "onnx-fp32"]
    assert path.startswith("xnli-multi onnx-fp32: /")
    assert "xnli-multi onnx-fp32: " in result.stderr
    assert len(json.loads(target.read_text())["artifacts"]) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--model", "/nowhere/x"), 2, "no such folder: /nowhere/x"),
        (("--model", "reference:tiny", "--format", "onnx-int7"), 2, "did you mean 'onnx-int8'"),
        (("--model", "reference:tiny", "--max-seq-len", "513"), 2, "max_seq_len must be 1..512"),
        (("--model", "{tmp}"), 1, "it has no config.json"),
        (("--model", "reference:tiny", "--buckets", "32"), 2, "--buckets are the lengths of .tflite files"),
        ((), 2, "--model"),
    ],
)
def test_bad_input_is_one_line_with_its_exit_code(
    tmp_path: Path, arguments: tuple[str, ...], status: int, message: str
) -> None:
    result = edgebench(tmp_path, *(argument.format(tmp=tmp_path) for argument in arguments))
    assert result.returncode == status
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert message in line
