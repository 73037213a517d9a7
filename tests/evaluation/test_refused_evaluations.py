"""What can't be evaluated is one clear line before anything runs on a board."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import edgebench
from edgebench.errors import CheckpointError, ConfigError, EdgebenchError, ScoresError, UnknownName
from tests.evaluation.conftest import NLI, NewCheckpoint, write, write_tatoeba, write_tokenizer, write_xnli
from tests.fork_server import edgebench_command
from tests.needed import need

need("torch", "onnxruntime")

pytestmark = pytest.mark.export
CLASSIFIER = "XLMRobertaForSequenceClassification"
PAIRS, LABELS = [("ab", "cd"), ("ef", "gh"), ("ij", "kl")], list(NLI)


def refusal(folder: Path, tmp_path: Path, *, kind: type[EdgebenchError] = ConfigError, **options: Any) -> str:
    arguments = {"tasks": ["xnli"], "langs": ["sw"], "data": tmp_path / "data", "format": "onnx-fp32"} | options
    with pytest.raises(kind) as caught:
        edgebench.evaluate(folder, store=tmp_path / "store", **arguments)
    return str(caught.value)


@pytest.fixture
def nli(new_checkpoint: NewCheckpoint, tmp_path: Path) -> Path:
    write_xnli(tmp_path / "data", "sw", PAIRS, LABELS)
    return new_checkpoint(CLASSIFIER, NLI)


def test_a_language_without_its_file_is_named(nli: Path, tmp_path: Path) -> None:
    said = refusal(nli, tmp_path, kind=ScoresError, langs=["sw", "th"])
    assert said.startswith("XNLI in th is missing: no ") and "test-th.tsv" in said


def test_data_without_right_answers_say_where_to_put_them(nli: Path, tmp_path: Path) -> None:
    write(tmp_path / "data" / "xnli" / "test-th.tsv", "a\tb\n")
    said = refusal(nli, tmp_path, kind=ScoresError, langs=["th"])
    assert "`labels=DIR` with xnli/test-th.tsv" in said


def test_an_empty_test_set_and_an_unknown_label_are_refused(nli: Path, tmp_path: Path) -> None:
    write(tmp_path / "data" / "xnli" / "test-th.tsv", "")
    assert "test-th.tsv" in refusal(nli, tmp_path, kind=ScoresError, langs=["th"])
    write_xnli(tmp_path / "data", "th", PAIRS, ["entailment", "neutral", "neutrl"])
    assert "did you mean 'neutral'" in refusal(nli, tmp_path, kind=ScoresError, langs=["th"])


def test_a_task_names_the_head_that_it_needs(nli: Path, tmp_path: Path) -> None:
    labels = write_tatoeba(tmp_path / "data", "sw", ["ab", "cd"], ["ef", "gh"], [0, 1])
    said = refusal(nli, tmp_path, tasks=["tatoeba"], labels=labels)
    assert "Tatoeba needs XLMRobertaModel" in said and f"has {CLASSIFIER}" in said
    assert "export --task encoder" in said


def test_a_tokenizer_of_another_checkpoint_is_refused(nli: Path, tmp_path: Path) -> None:
    folder = tmp_path / "swapped"
    shutil.copytree(nli, folder)
    write_tokenizer(folder, "".join(chr(97 + at) for at in range(400)))
    said = refusal(folder, tmp_path, kind=CheckpointError)
    assert "has 404 pieces and the model 300 embeddings: it belongs to another checkpoint" in said
    tokens = json.loads((nli / "tokenizer.json").read_text())
    vocab = tokens["model"]["vocab"]
    vocab["<pad>"], vocab["a"] = vocab["a"], vocab["<pad>"]
    (folder / "tokenizer.json").write_text(json.dumps(tokens))
    assert "pads with 4 and the model with 1" in refusal(folder, tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["LABEL_0", "LABEL_1", "LABEL_2"], "does not say which label is which"),
        (["contradiction", "entailment", "neutrale"], "did you mean 'neutral'"),
    ],
)
def test_outputs_that_name_no_label_of_the_task_are_refused(
    nli: Path, tmp_path: Path, names: list[str], message: str
) -> None:
    folder = tmp_path / "renamed"
    shutil.copytree(nli, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"id2label": {str(i): n for i, n in enumerate(names)}}))
    assert message in refusal(folder, tmp_path)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"tasks": ("xnly",)}, UnknownName),
        ({"langs": ("xx",)}, UnknownName),
        ({"tasks": ("bucc2018",)}, ConfigError),
        ({"split": "tests"}, UnknownName),
        ({"limit": 0}, ConfigError),
        ({"batch": 0}, ConfigError),
        ({"also": ["host-fp16"]}, UnknownName),
        ({"data": Path("nowhere")}, ConfigError),
    ],
)
def test_requests_that_mean_nothing_are_refused(
    nli: Path, tmp_path: Path, change: dict[str, Any], kind: type[EdgebenchError]
) -> None:
    refusal(nli, tmp_path, kind=kind, **change)


def test_random_weights_have_no_scores(tmp_path: Path) -> None:
    assert "random weights" in refusal(Path("reference:tiny"), tmp_path)


@pytest.mark.long
def test_the_command_shows_a_row_a_language_and_writes_the_contracts_json(nli: Path, tmp_path: Path) -> None:
    write_xnli(tmp_path / "data", "en", PAIRS, LABELS)
    document = tmp_path / "scores.json"
    command = [*edgebench_command(), "evaluate", "--model", str(nli), "--format", "onnx-fp32"]
    command += ["--task", "xnli", "--data", str(tmp_path / "data"), "--store", str(tmp_path / "store")]
    ended = subprocess.run([*command, "--json", str(document)], capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert any(line.split()[:1] == ["sw"] for line in lines) and any(line.split()[:1] == ["en"] for line in lines)
    assert "mean over 2 of 15 languages (partial)" in ended.stdout
    written = json.loads(document.read_text())
    assert {"scores", "tasks", "overall"} <= set(written) and written["overall"] is None
    for score in written["scores"]:
        assert {"task", "lang", "metric", "value", "n", "artifact_sha256", "protocol"} <= set(score)
    ended = subprocess.run([*command, "--lang", "th"], capture_output=True, text=True, timeout=600)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines()[-1].startswith("edgebench: XNLI in th is missing")
