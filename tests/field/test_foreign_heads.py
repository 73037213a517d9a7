"""Files that other exporters made: their head, padding and labels are those of the file and its family."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgebench.artifact import Artifact
from edgebench.evaluation import checkpoint_protocol
from edgebench.export import config_folder, export_model
from edgebench.export.companions import Companions, companions_of
from edgebench.xtreme_r import find_task
from tests.evaluation.conftest import NLI, write_tokenizer
from tests.needed import need

need("onnx", "numpy", "tokenizers")

from tests.field.foreign_models import encoder, save, write_config  # noqa: E402

CLASSIFIER, TAGGER = "XLMRobertaForSequenceClassification", "XLMRobertaForTokenClassification"


@pytest.fixture(autouse=True)
def own_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))


def write_tflite(path: Path, outputs: Sequence[tuple[str, Sequence[int]]], *, signed: bool = True) -> Path:
    """Write a .tflite file that has only its inputs' and outputs' names and shapes."""
    schema: Any = pytest.importorskip("ai_edge_litert.schema_py_generated")
    flatbuffers: Any = pytest.importorskip("flatbuffers")
    names = [("input_ids", [1, 16]), ("attention_mask", [1, 16]), *outputs]
    graph, signature, model = schema.SubGraphT(), schema.SignatureDefT(), schema.ModelT()
    graph.tensors, entries = [], []
    for at, (name, shape) in enumerate(names):
        tensor, entry = schema.TensorT(), schema.TensorMapT()
        tensor.shape, tensor.name, tensor.buffer = list(shape), name.encode(), 0
        entry.name, entry.tensorIndex = name.encode(), at
        graph.tensors.append(tensor)
        entries.append(entry)
    graph.inputs, graph.outputs, graph.operators = [0, 1], list(range(2, len(names))), []
    signature.inputs, signature.outputs, signature.subgraphIndex = entries[:2], entries[2:], 0
    signature.signatureKey = b"serving_default"
    model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], [schema.BufferT()], []
    model.signatureDefs = [signature] if signed else []
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(builder.Output()))
    return path


STATES = ("last_hidden_state", [1, 16, 4])
SPANS = [("start_logits", [1, 16]), ("end_logits", [1, 16])]
FILES: list[tuple[str, list[tuple[str, list[int]]], bool]] = [
    (CLASSIFIER, [("logits", [1, 3])], True),
    (CLASSIFIER, [("logits", [1, 16, 3])], False),  # a tagger
    (CLASSIFIER, [STATES], False),
    (CLASSIFIER, [("output_0", [1, 3])], False),  # which no answer can be read by
    (TAGGER, [("logits", [1, 16, 3])], True),
    (TAGGER, [("logits", [1, 3])], False),
    ("XLMRobertaModel", [STATES, ("pooler_output", [1, 4])], True),
    ("XLMRobertaModel", [("logits", [1, 3])], False),
    ("XLMRobertaForQuestionAnswering", SPANS, True),
    ("XLMRobertaForQuestionAnswering", SPANS[:1], False),
    ("XLMRobertaForCausalLM", [("logits", [1, 16, 300])], False),
]


@pytest.mark.parametrize(("architecture", "outputs", "fits"), FILES)
@pytest.mark.parametrize("signed", [True, False], ids=["signature", "tensors"])
def test_a_tflite_file_has_the_head_of_its_config_only_with_its_outputs(
    tmp_path: Path, architecture: str, outputs: list[tuple[str, list[int]]], fits: bool, signed: bool
) -> None:
    path = write_tflite(tmp_path / "model.tflite", outputs, signed=signed)
    write_config(tmp_path, architectures=[architecture])
    assert export_model(path).artifact.head == (architecture if fits else None)
    assert export_model(path).artifact.buckets == (16,)


@pytest.mark.parametrize(("architecture", "outputs", "fits"), FILES)
def test_an_onnx_file_is_judged_by_the_same_rule(
    tmp_path: Path, architecture: str, outputs: list[tuple[str, list[int]]], fits: bool
) -> None:
    from onnx import TensorProto, helper

    model = encoder()
    model.graph.output.clear()
    for name, shape in outputs:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    write_config(tmp_path, architectures=[architecture])
    assert export_model(save(model, tmp_path / "model.onnx")).artifact.head == (architecture if fits else None)


@pytest.mark.parametrize(
    ("config", "pad", "first"),
    [
        ({"model_type": "bert"}, 0, 0),
        ({"model_type": "distilbert"}, 0, 0),
        ({"model_type": "electra", "pad_token_id": 3}, 3, 0),
        ({"model_type": "xlm-roberta"}, 1, 2),
        ({"model_type": "roberta", "pad_token_id": 0}, 0, 1),
        ({"model_type": "camembert"}, None, 2),
        ({"model_type": "mpnet", "pad_token_id": 1}, 1, 2),
        ({"model_type": "albert"}, None, 0),
        ({}, None, 2),
    ],
)
def test_padding_and_positions_are_those_of_the_family(config: dict[str, Any], pad: int | None, first: int) -> None:
    beside = Companions(config=config)
    assert (beside.pad_token_id, beside.first_position(None)) == (pad, first)
    assert beside.vocab_size is None  # a default says nothing about the file


@pytest.mark.parametrize("family", ["distilbert", "deberta-v2", "xlm-roberta-xl"])
def test_a_family_of_one_segment_has_no_separator(family: str, tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    assert Companions(tokenizer=str(tmp_path), config={"model_type": "bert"}).separator == 2
    assert Companions(tokenizer=str(tmp_path), config={"model_type": family}).separator is None


def test_labels_are_found_in_the_model_s_config_wherever_the_tokenizer_is(tmp_path: Path) -> None:
    """As where a tokenizer was put into the folder `onnx`, and config.json stayed above it; and the reverse."""
    labels = {"architectures": [CLASSIFIER], "id2label": {str(at): name for at, name in enumerate(NLI)}}
    for tokenizer, config in (("onnx", "."), (".", "onnx"), (".", "."), ("onnx", "onnx")):
        folder = tmp_path / f"{tokenizer}-{config}".replace(".", "top")
        path = save(encoder(output="logits"), folder / "onnx" / "model.onnx")
        write_tokenizer(folder / tokenizer)
        write_config(folder / config, **labels)
        artifact = export_model(path).artifact
        protocol = checkpoint_protocol(artifact, find_task("xnli"))
        assert protocol["labels"] == list(NLI), (tokenizer, config)
        found = config_folder(artifact)
        assert found is not None and found.samefile(folder / config)
        changed = json.loads((folder / config / "config.json").read_text()) | {"type_vocab_size": 2}
        (folder / config / "config.json").write_text(json.dumps(changed))
        assert checkpoint_protocol(artifact, find_task("xnli"))["config_sha256"] != protocol["config_sha256"]
    assert companions_of(path).head == CLASSIFIER


def test_labels_of_an_exported_file_are_in_its_checkpoint_s_config(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    write_config(tmp_path, id2label={str(at): name for at, name in enumerate(NLI)})
    artifact: Artifact = export_model(save(encoder(), tmp_path / "made" / "model.onnx")).artifact
    assert config_folder(artifact) is None
    assert config_folder(replace(artifact, tokenizer=str(tmp_path))) == tmp_path
