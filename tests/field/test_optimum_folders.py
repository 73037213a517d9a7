"""Folders of ONNX files with tokenizer and config, as Optimum and other exporters write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgebench import Workload, evaluate
from edgebench.device import find_device
from edgebench.errors import CheckpointError, ConfigError
from edgebench.export import encode_texts, existing_file, export_model
from edgebench.measure import profile_all
from edgebench.request import Request
from edgebench.store import Store
from edgebench.workload import RunPlan
from tests.evaluation.conftest import texts, write_xnli
from tests.needed import need

need("onnx", "onnxruntime", "tokenizers")

import numpy as np  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402

from tests.field.foreign_models import encoder, optimum_folder, save, write_config  # noqa: E402

NLI = {"0": "entailment", "1": "neutral", "2": "contradiction"}


@pytest.fixture(autouse=True)
def own_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))


def classifier() -> Any:
    """Return a classifier of three labels; its answer depends on the sum of the embeddings."""

    def constant(name: str, values: Any) -> Any:
        return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(values), name))

    weights = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    nodes = [
        constant("axes", [1]),
        constant("weights", weights),
        helper.make_node("ReduceSum", ["states", "axes"], ["pooled"], keepdims=0),
        helper.make_node("MatMul", ["pooled", "weights"], ["logits"]),
    ]
    return encoder(nodes=nodes, output="logits")


def classifier_folder(folder: Path, *names: str, **config: Any) -> Path:
    labels = {"architectures": ["XLMRobertaForSequenceClassification"], "id2label": NLI, **config}
    return optimum_folder(folder, *names, model=classifier(), **labels)


@pytest.mark.parametrize("name", ["model.onnx", "model_quantized.onnx", "onnx/model.onnx", "onnx/model_int8.ONNX"])
def test_a_folder_with_one_file_is_taken_with_its_tokenizer_and_config(tmp_path: Path, name: str) -> None:
    folder = classifier_folder(tmp_path / "xnli-multi", name)
    for source in (folder, folder / name, (folder / name).parent):
        exported = export_model(source)
        artifact = exported.artifact
        assert artifact.model_path == folder / name
        assert artifact.tokenizer == str(folder)
        assert (artifact.head, artifact.vocab_size, artifact.pad_token_id) == (
            "XLMRobertaForSequenceClassification",
            300,
            1,
        )
        assert artifact.max_seq_len == 64
        assert encode_texts(artifact, ["abc"]).ids.tolist() == [0, 4, 5, 6, 2]
        if source.is_dir():
            assert exported.variant.name == "xnli-multi"


def test_texts_are_profiled_with_the_folders_tokenizer(tmp_path: Path) -> None:
    folder = classifier_folder(tmp_path / "xnli-multi", "model.onnx")
    request = Request(
        device=find_device("local"),
        models=(str(folder),),
        workloads=(Workload(texts=("abc", "de")),),
        plan=RunPlan(runs=1, min_count=4, min_duration_s=0, max_warmup_s=0),
        overhead=False,
        cold=False,
    )
    (measured,) = profile_all(request, store=Store(tmp_path / "store"))
    assert (measured.subject.variant.name, measured.padding.tokens) == ("xnli-multi", 4.5)


def test_such_a_folder_is_evaluated_with_its_labels(tmp_path: Path) -> None:
    import onnxruntime

    folder = classifier_folder(tmp_path / "xnli-multi", "onnx/model.onnx")
    session = onnxruntime.InferenceSession(folder / "onnx/model.onnx")
    pairs = list(zip(texts(1, 12), texts(2, 12), strict=True))

    def ids(text: str) -> list[int]:
        return [4 + ord(letter) - ord("a") for letter in text if letter != " "]

    labels = []
    for first, second in pairs:
        tokens = np.array([[0, *ids(first), 2, 2, *ids(second), 2]])
        (logits,) = session.run(None, {"input_ids": tokens, "attention_mask": np.ones_like(tokens)})
        labels.append(NLI[str(int(logits[0].argmax()))])
    assert len(set(labels)) > 1
    write_xnli(tmp_path / "download", "en", pairs, labels)
    found = evaluate(folder, tasks=["xnli"], data=tmp_path / "download", langs=["en"], store=Store(tmp_path / "store"))
    assert found.to_json()["scores"][0]["value"] == 100.0


def test_of_several_files_one_is_to_be_named(tmp_path: Path) -> None:
    folder = classifier_folder(tmp_path / "xnli", "model.onnx", "model_quantized.onnx")
    with pytest.raises(CheckpointError, match=r"several model files: model\.onnx, model_quantized\.onnx; name one"):
        existing_file(folder)
    deeper = classifier_folder(tmp_path / "hub", "onnx/model.onnx", "onnx/model_fp16.onnx")
    with pytest.raises(CheckpointError, match=r"onnx/model\.onnx, onnx/model_fp16\.onnx"):
        existing_file(deeper)
    assert export_model(deeper / "onnx" / "model_fp16.onnx").artifact.tokenizer == str(deeper)


def test_a_checkpoint_with_an_onnx_folder_is_still_a_checkpoint(tmp_path: Path) -> None:
    folder = classifier_folder(tmp_path / "hub", "onnx/model.onnx")
    (folder / "model.safetensors").write_bytes(b"weights")
    assert existing_file(folder) is None
    (folder / "model.safetensors").unlink()
    (folder / "training_args.bin").write_bytes(b"no weights")
    assert existing_file(folder) == folder / "onnx" / "model.onnx"


def test_a_config_of_another_head_than_the_graphs_is_not_believed(tmp_path: Path) -> None:
    folder = optimum_folder(tmp_path / "m", "model.onnx", architectures=["XLMRobertaForSequenceClassification"])
    assert export_model(folder).artifact.head is None
    write_xnli(tmp_path / "download", "en", [("a", "b")] * 3, ["neutral"] * 3)
    with pytest.raises(ConfigError, match="a head that the file does not name"):
        evaluate(folder, tasks=["xnli"], data=tmp_path / "download", langs=["en"], store=Store(tmp_path / "store"))


def test_a_file_alone_has_no_tokenizer_and_a_damaged_config_is_named(tmp_path: Path) -> None:
    path = save(encoder(), tmp_path / "alone" / "model.onnx")
    assert export_model(path).artifact.tokenizer is None
    write_config(path.parent)
    (path.parent / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json is not valid JSON"):
        export_model(path)


@pytest.mark.parametrize(("types", "expected"), [(2, [0, 0, 0, 1, 1, 1]), (1, [0, 0, 0, 0, 0, 0])])
def test_the_second_text_of_a_pair_has_its_token_type(tmp_path: Path, types: int, expected: list[int]) -> None:
    """The tokenizer writes <s> a </s> </s> b </s>; its second separator is after the first one."""
    same = helper.make_node("Cast", ["token_type_ids"], ["same"], to=1)
    model = encoder(nodes=[same, helper.make_node("Identity", ["same"], ["types"])], output="types")
    entry = model.graph.input.add()
    entry.CopyFrom(helper.make_tensor_value_info("token_type_ids", 7, ["batch", "tokens"]))
    folder = optimum_folder(tmp_path / "m", "model.onnx", model=model, type_vocab_size=types, model_type="bert")
    artifact = export_model(folder).artifact
    assert artifact.separator == (2 if types > 1 else None)
    from edgebench.measure import resolve_workload
    from edgebench.workload import EncodedInputs

    pair = EncodedInputs(np.array([0, 4, 2, 2, 5, 2], np.int32), np.array([6], np.int32))
    (answer,) = infer_encoded(artifact, resolve_workload(artifact, Workload(seq_len=6)), pair)
    assert answer["types"][0].tolist() == expected


def test_token_types_that_tokenizer_settings_switch_off_are_another_question(tmp_path: Path) -> None:
    """The file, its tokenizer.json and its config.json are the same, and the answers are not."""
    from edgebench.evaluation import checkpoint_protocol
    from edgebench.xtreme_r import find_task

    model = encoder()
    entry = model.graph.input.add()
    entry.CopyFrom(helper.make_tensor_value_info("token_type_ids", 7, ["batch", "tokens"]))
    folder = optimum_folder(tmp_path / "m", "model.onnx", model=model, type_vocab_size=2, model_type="bert")
    with_types = checkpoint_protocol(export_model(folder).artifact, find_task("tatoeba"))
    (folder / "tokenizer_config.json").write_text('{"model_input_names": ["input_ids", "attention_mask"]}')
    without = checkpoint_protocol(export_model(folder).artifact, find_task("tatoeba"))
    assert with_types["tokenizer_sha256"] == without["tokenizer_sha256"]
    assert (with_types["separator"], "separator" in without) == (2, False)


def infer_encoded(artifact: Any, workload: Workload, inputs: Any) -> Any:
    """Run token ids through a file on this machine."""
    from edgebench.evaluation import inference

    return inference._answers(
        artifact, workload, inputs, device=find_device("local"), runtime=None, python=None, on_event=lambda _: None
    )
