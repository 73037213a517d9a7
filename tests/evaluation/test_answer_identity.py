"""The identity of an answer has all that decides it: labels, tokenizer and configuration as well as the weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import edgebench
from edgebench.artifact import Artifact, ArtifactFile, Format
from edgebench.errors import ConfigError
from edgebench.evaluation import checkpoint_protocol
from edgebench.reporting import evaluation_parts
from edgebench.store import Store
from edgebench.xtreme_r import find_task, kinds_of
from tests.evaluation.conftest import NLI, NewCheckpoint, answer, encode, texts, write_tokenizer, write_xnli
from tests.needed import need
from tests.schemas import check_schema

CLASSIFIER = "XLMRobertaForSequenceClassification"


def name_labels(folder: Path, names: list[str]) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"id2label": {str(i): n for i, n in enumerate(names)}}))


@pytest.mark.export
@pytest.mark.long  # four sessions with the agent, and the export of a tiny checkpoint
def test_corrected_labels_are_another_question(new_checkpoint: NewCheckpoint, tmp_path: Path) -> None:
    need("torch", "onnxruntime")
    folder = tmp_path / "model"
    shutil.copytree(new_checkpoint(CLASSIFIER, NLI), folder)
    pairs = list(zip(texts(1, 30), texts(2, 30), strict=True))
    answers = [NLI[int(answer(folder, CLASSIFIER, encode(*pair))["logits"].argmax())] for pair in pairs]
    write_xnli(tmp_path / "data", "sw", pairs, answers)

    def evaluated() -> Any:
        options: dict[str, Any] = {"tasks": ["xnli"], "langs": ["sw"], "format": "onnx-fp32"}
        return edgebench.evaluate(folder, data=tmp_path / "data", store=tmp_path / "store", **options)

    name_labels(folder, [*NLI[1:], NLI[0]])
    swapped = evaluated()
    assert swapped.scores[0].value == 0
    assert "below chance" in kinds_of(swapped.scores[0].caveats)
    name_labels(folder, list(NLI))
    corrected = evaluated()
    assert corrected.scores[0].value == 100
    assert corrected.artifact.sha256 == swapped.artifact.sha256
    assert kinds_of(corrected.scores[0].caveats) == ("partial",)
    assert evaluated().languages[0].started_at == corrected.languages[0].started_at  # nothing has changed
    assert corrected.scores[0].protocol["labels"] == list(NLI)

    name_labels(folder, ["entailment", "entailment", "neutral"])
    doubled = evaluated()
    said = doubled.scores[0].caveats
    assert said[0] == "labels: 3 outputs of the model, of which several are entailment"
    assert said[1] == "labels: the model has no contradiction, so such examples are never right"
    printed = "\n".join(part for part in evaluation_parts(doubled) if isinstance(part, str))
    assert "! xnli sw: labels: 3 outputs of the model" in printed
    document = doubled.to_json()
    check_schema(document, "evaluate")
    assert document["scores"][0]["caveats"] == list(said)
    kept = Store(tmp_path / "store").evaluation(doubled.languages[0].id)
    assert kept is not None and kept.scores[0].caveats == said
    for path in (tmp_path / "store" / "evaluations").glob("*.json"):
        check_schema(json.loads(path.read_text(encoding="utf-8")), "store-evaluation")


def artifact(folder: Path) -> Artifact:
    files = (ArtifactFile(name="model.onnx", sha256="a" * 64, bytes=1),)
    return Artifact(format=Format.ONNX_FP32, files=files, path=folder, tokenizer=str(folder))


def test_each_small_file_of_a_checkpoint_is_part_of_the_protocol(tmp_path: Path) -> None:
    need("tokenizers")
    write_tokenizer(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {str(i): name for i, name in enumerate(NLI)}}))
    of, xnli = artifact(tmp_path), find_task("xnli")
    first = checkpoint_protocol(of, xnli)
    assert set(first) == {"labels", "tokenizer_sha256", "config_sha256"}
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"_name_or_path": "elsewhere"}, indent=1))
    assert checkpoint_protocol(of, xnli) == first
    (tmp_path / "config.json").write_text(json.dumps(config | {"type_vocab_size": 2}))
    assert checkpoint_protocol(of, xnli)["config_sha256"] != first["config_sha256"]
    write_tokenizer(tmp_path, "abc")
    assert checkpoint_protocol(of, xnli)["tokenizer_sha256"] != first["tokenizer_sha256"]
    encoder = checkpoint_protocol(of, find_task("tatoeba"))
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "modules.json").write_text("[]")
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    pooled = checkpoint_protocol(of, find_task("tatoeba"))
    assert pooled["config_sha256"] != encoder["config_sha256"]
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": false}')
    assert checkpoint_protocol(of, find_task("tatoeba"))["config_sha256"] != pooled["config_sha256"]


def test_labels_that_do_not_count_from_zero_are_refused(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {str(i + 1): name for i, name in enumerate(NLI)}}))
    with pytest.raises(ConfigError, match="id2label has the outputs 1, 2, 3; they count from 0"):
        checkpoint_protocol(artifact(tmp_path), find_task("xnli"))
