"""edgebench export --compare-formats: every format of one checkpoint beside the others."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import edgebench
from edgebench.artifact import EXPORT_FORMATS, Format
from edgebench.errors import ConfigError
from edgebench.events import Event, LogMessage
from tests.fork_server import edgebench_command
from tests.needed import need
from tests.schemas import check_schema

need("torch")

pytestmark = pytest.mark.export
PARALLEL = {"en": ["abc", "defg", "hij"], "sw": ["abd", "defh", "hik"], "yo": ["cba", "gfed", "jih"]}


def run_export(*arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*edgebench_command(), "export", *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "EDGEBENCH_CACHE": str(cache)},
        check=False,
    )


@pytest.mark.long
def test_one_table_shows_every_format_with_its_retrieval(encoder: Path, cache: Path, tmp_path: Path) -> None:
    need("litert_torch")
    texts, result = tmp_path / "parallel.json", tmp_path / "result.json"
    texts.write_text(json.dumps(PARALLEL))
    arguments = ["--model", str(encoder), "--compare-formats", "--texts", str(texts), "--buckets", "16,64"]
    done = run_export(*arguments, "--json", str(result), cache=cache)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith(("onnx-", "tflite-"))}
    assert set(rows) == {str(format) for format in EXPORT_FORMATS}
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


@pytest.mark.usefixtures("own_imports")
@pytest.mark.long
def test_a_format_that_fails_does_not_end_the_others_which_import_no_converter(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The converters of .tflite files are found broken, as where their extra is not installed; they note who tries."""
    tried, broken, cache = tmp_path / "tried", tmp_path / "broken", tmp_path / "cache"
    for name in ("litert_torch", "ai_edge_quantizer", "ai_edge_litert"):
        (broken / name).mkdir(parents=True)
        note = f"open({str(tried)!r}, 'a').write(f'{{__name__}} ')"
        (broken / name / "__init__.py").write_text(f"{note}\nraise ModuleNotFoundError('no', name={name!r})\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(broken), os.environ.get("PYTHONPATH", "")]))
    told: list[str] = []

    def keep(event: Event) -> None:
        if isinstance(event, LogMessage):
            told.append(event.text)

    failed, made = edgebench.compare_formats(classifier, ["tflite-fp32", "onnx-fp32"], cache=cache, on_event=keep)
    assert tried.read_text().split() == ["litert_torch"]  # by the one that needs it
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
