"""edgebench export --compare-formats: every format of one checkpoint beside the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgebench
from edgebench.artifact import Format
from edgebench.errors import ConfigError
from edgebench.events import Event, LogMessage
from tests.schemas import check_schema

pytest.importorskip("torch")

pytestmark = [pytest.mark.export, pytest.mark.timeout(600)]
PARALLEL = {"en": ["abc", "defg", "hij"], "sw": ["abd", "defh", "hik"], "yo": ["cba", "gfed", "jih"]}


def run_export(*arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgebench", "export", *arguments],
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "EDGEBENCH_CACHE": str(cache)},
        check=False,
    )


def test_one_table_shows_every_format_with_its_retrieval(encoder: Path, cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("litert_torch")
    texts, result = tmp_path / "parallel.json", tmp_path / "result.json"
    texts.write_text(json.dumps(PARALLEL))
    arguments = ["--model", str(encoder), "--compare-formats", "--texts", str(texts), "--buckets", "16,64"]
    done = run_export(*arguments, "--json", str(result), cache=cache)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith(("onnx-", "tflite-"))}
    assert set(rows) == {"onnx-fp32", "onnx-fp16", "onnx-int8", "tflite-fp32", "tflite-int8"}
    assert "mean of 2 languages with 3 texts each" in done.stdout
    document = json.loads(result.read_text())
    check_schema(document, "export-formats")
    artifacts = {each["format"]: each for each in document["artifacts"]}
    for format, artifact in artifacts.items():
        assert artifact["error"] is None
        assert artifact["parity"]["examples"] > 0
        assert set(artifact["retrieval"]["accuracy"]) == {"sw", "yo"}
        assert f"{artifact['retrieval']['mean']:.1f} %" in rows[format]
    assert artifacts["tflite-fp32"]["retrieval"] == artifacts["onnx-fp32"]["retrieval"]


def test_a_format_that_fails_does_not_end_the_others(
    classifier: Path, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The converter of .tflite files is found broken, as where its extra is not installed."""
    broken = tmp_path / "broken" / "litert_torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ModuleNotFoundError('no', name='litert_torch')\n")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    told: list[str] = []

    def keep(event: Event) -> None:
        if isinstance(event, LogMessage):
            told.append(event.text)

    failed, made = edgebench.compare_formats(classifier, ["tflite-fp32", "onnx-fp32"], cache=own_cache, on_event=keep)
    assert failed.error is not None
    assert "edgebench[tflite]" in str(failed.error)
    assert failed.artifact is None
    assert made.artifact is not None
    check_schema({"artifacts": [failed.to_json(), made.to_json()]}, "export-formats")
    assert made.artifact.format is Format.ONNX_FP32
    assert any("tflite-fp32: " in text for text in told)


def test_a_head_without_states_has_no_retrieval(classifier: Path, cache: Path) -> None:
    with pytest.raises(ConfigError, match="`task='encoder'`"):
        edgebench.compare_formats(classifier, ["onnx-fp32"], texts=PARALLEL, cache=cache)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--texts", "parallel.json"], "belong to --compare-formats"),
        (["--compare-formats", "--model", "reference:base"], "of one checkpoint, not of 2"),
        (["--compare-formats", "--texts", "missing.json"], "can't read missing.json"),
        (["--compare-formats", "--format", "gguf"], "gguf"),
    ],
)
def test_wrong_requests_are_one_line(arguments: list[str], problem: str, cache: Path) -> None:
    done = run_export("--model", "reference:tiny", *arguments, cache=cache)
    assert done.returncode in (1, 2)
    assert problem in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def test_a_file_of_one_format_is_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give the checkpoint"):
        edgebench.compare_formats(tmp_path / "model.onnx")
