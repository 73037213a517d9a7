"""What was exported once is there at once, whole, whoever else is at work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgebench.export import export_model, isolation
from edgebench.export.cache import cache_folder
from tests.needed import need

need("torch")
pytestmark = pytest.mark.export

EXPORT = """
import sys
from pathlib import Path
from edgebench.export import export_model, isolation
from tests.needed import need
isolation.WORKER = sys.argv[3:]
exported = export_model(sys.argv[1], "onnx-fp32", cache=Path(sys.argv[2]))
heavy = {"torch", "transformers", "onnx", "onnxruntime", "onnx_ir", "numpy"} & set(sys.modules)
print(exported.cached, exported.artifact.sha256, sorted(heavy))
"""


def start(source: Path | str, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", EXPORT, str(source), str(cache), *isolation.WORKER]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> list[str]:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    return output.split(maxsplit=2)


def test_a_second_call_imports_and_reads_nothing_heavy(classifier: Path, cache: Path) -> None:
    first = export_model(classifier, "onnx-fp32", cache=cache)
    cached, sha256, heavy = answer(start(classifier, cache))
    assert (cached, sha256, heavy.strip()) == ("True", first.artifact.sha256, "[]")


@pytest.mark.long
def test_two_processes_at_once_get_the_same_artifact(classifier: Path, tmp_path: Path) -> None:
    processes = [start(classifier, tmp_path) for _ in range(2)]
    answers = [answer(process) for process in processes]
    assert answers[0][1] == answers[1][1]
    assert len(list((tmp_path / "artifacts").iterdir())) == 1
    assert answer(start(classifier, tmp_path))[0] == "True"


def test_other_weights_are_another_artifact(classifier: Path, cache: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    first = export_model(classifier, "onnx-fp32", cache=cache)
    changed = shutil.copytree(classifier, tmp_path / "changed")
    weights = load_file(changed / "model.safetensors")
    weights["classifier.out_proj.bias"] += 1
    save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
    second = export_model(changed, "onnx-fp32", cache=cache)
    assert not second.cached
    assert second.artifact.sha256 != first.artifact.sha256


def test_the_same_content_elsewhere_is_the_same_artifact(classifier: Path, cache: Path, tmp_path: Path) -> None:
    first = export_model(classifier, "onnx-fp32", cache=cache)
    elsewhere = shutil.copytree(classifier, tmp_path / "elsewhere")
    second = export_model(elsewhere, "onnx-fp32", cache=cache)
    assert second.cached
    assert second.variant.name == "elsewhere"
    assert second.artifact == first.artifact


def test_a_damaged_artifact_is_made_again(classifier: Path, own_cache: Path) -> None:
    first = export_model(classifier, "onnx-fp32", cache=own_cache)
    os.truncate(first.artifact.model_path, 1000)
    second = export_model(classifier, "onnx-fp32", cache=own_cache)
    assert not second.cached
    assert second.artifact.sha256 == first.artifact.sha256
    assert second.artifact.model_path.stat().st_size == second.artifact.bytes


def test_a_longest_input_needs_no_other_file(classifier: Path, cache: Path) -> None:
    first = export_model(classifier, "onnx-fp32", cache=cache)
    second = export_model(classifier, "onnx-fp32", cache=cache, max_seq_len=16)
    assert second.cached
    assert (first.artifact.max_seq_len, second.artifact.max_seq_len) == (64, 16)


def test_what_a_killed_export_left_is_removed_after_a_day(classifier: Path, own_cache: Path) -> None:
    old, young = (own_cache / "artifacts" / f".making-{age}" for age in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    export_model(classifier, "onnx-fp32", cache=own_cache)
    assert not old.exists()
    assert young.exists()


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("EDGEBENCH_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "edgebench"


def test_the_record_lies_beside_the_files(classifier: Path, cache: Path) -> None:
    artifact = export_model(classifier, "onnx-fp32", cache=cache).artifact
    record = json.loads((artifact.path / "artifact.json").read_text())
    assert record["sha256"] == artifact.sha256
    assert record["parity"]["examples"] >= 32
