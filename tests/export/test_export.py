"""Checkpoints become ONNX files that answer what torch answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import edgebench
from edgebench.artifact import Artifact, Format, hash_file
from edgebench.errors import CheckpointError, ConfigError
from edgebench.export import Exported, encode_texts, export_model
from edgebench.export.checkpoint import open_checkpoint
from edgebench.variant import TrainingKind
from tests.export.conftest import MAX_SEQ_LEN, build
from tests.needed import need

np = pytest.importorskip("numpy")
need("torch")
onnxruntime = pytest.importorskip("onnxruntime")

FORMATS = ["onnx-fp32", "onnx-int8"]
pytestmark = pytest.mark.export


def run(artifact: Artifact, ids: Any, mask: Any) -> Any:
    session = onnxruntime.InferenceSession(artifact.model_path, providers=["CPUExecutionProvider"])
    return session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


def torch_answers(folder: Path, architecture: str, ids: Any, mask: Any) -> Any:
    import torch
    import transformers

    model = getattr(transformers, architecture).from_pretrained(folder).eval()
    with torch.no_grad():
        return model(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))[0].numpy()


def padded_batch() -> tuple[Any, Any]:
    """Three inputs of 5, 17 and 64 tokens, padded."""
    ids = np.ones((3, MAX_SEQ_LEN), np.int64)
    mask = np.zeros_like(ids)
    for row, length in enumerate((5, 17, MAX_SEQ_LEN)):
        ids[row, :length] = np.random.default_rng(row).integers(4, 300, length)
        mask[row, :length] = 1
    return ids, mask


@pytest.mark.parametrize("format", FORMATS)
def test_a_classifier_answers_what_torch_answers(classifier: Path, cache: Path, format: str) -> None:
    exported = export_model(classifier, format, cache=cache)
    ids, mask = padded_batch()
    expected = torch_answers(classifier, "XLMRobertaForSequenceClassification", ids, mask)
    actual = run(exported.artifact, ids, mask)
    assert actual.shape == (3, 3)
    np.testing.assert_allclose(actual, expected, atol=1e-5 if format == "onnx-fp32" else 0.2)
    assert (actual.argmax(axis=1) == expected.argmax(axis=1)).all()


@pytest.mark.parametrize("format", FORMATS)
def test_a_sharded_encoder_answers_what_torch_answers(encoder: Path, cache: Path, format: str) -> None:
    assert len(list(encoder.glob("*.safetensors"))) > 1
    exported = export_model(encoder, format, cache=cache)
    ids, mask = padded_batch()
    expected = torch_answers(encoder, "XLMRobertaModel", ids, mask)
    actual = run(exported.artifact, ids, mask)
    assert actual.shape == (3, MAX_SEQ_LEN, 32)
    kept = mask.astype(bool)
    np.testing.assert_allclose(actual[kept], expected[kept], atol=1e-4 if format == "onnx-fp32" else 0.5)


def test_the_record_says_what_was_exported_and_how_well(classifier: Path, cache: Path) -> None:
    exported = export_model(classifier, "onnx-int8", cache=cache)
    artifact, variant = exported.artifact, exported.variant
    assert artifact.format is Format.ONNX_INT8
    assert (artifact.max_seq_len, artifact.vocab_size, artifact.pad_token_id) == (MAX_SEQ_LEN, 300, 1)
    assert artifact.head == "XLMRobertaForSequenceClassification"
    assert artifact.tokenizer is None
    assert artifact.files[0].sha256 == hash_file(artifact.model_path)
    assert artifact.seconds is not None and artifact.seconds > 0
    assert artifact.peak_rss_bytes is not None and artifact.peak_rss_bytes > 10 << 20
    parity = artifact.parity
    assert parity is not None and parity.examples >= 32
    assert 0.95 < parity.cosine <= parity.mean_cosine <= 1
    assert parity.argmax_agreement is not None and 0 < parity.argmax_agreement <= 1
    assert 0 < parity.max_abs_diff < 1
    assert variant.name == "xnli-multi"
    assert variant.parameters == sum(p.numel() for p in build("XLMRobertaForSequenceClassification").parameters())
    assert variant.lineage is not None and variant.lineage.intermediate[0].kind is TrainingKind.MULTILINGUAL


def test_a_bare_encoder_has_no_labels_to_agree_on(encoder: Path, cache: Path) -> None:
    parity = export_model(encoder, "onnx-fp32", cache=cache).artifact.parity
    assert parity is not None and parity.argmax_agreement is None
    assert parity.max_abs_diff <= 1e-3


def test_int8_files_hold_the_embeddings_and_layers_as_int8(classifier: Path, cache: Path) -> None:
    import onnx

    model = onnx.load(export_model(classifier, "onnx-int8", cache=cache).artifact.model_path)
    floats = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT and len(t.dims) == 2]
    assert max(min(t.dims) for t in floats if "classifier" not in t.name) == 1  # scales, one a row
    int8 = {t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 2}
    assert "roberta.embeddings.word_embeddings.weight.int8" in int8
    assert len(int8) == 3 + 2 * 4  # query, key and value are one
    assert [node.op_type for node in model.graph.node].count("QAttention") == 2


@pytest.mark.parametrize("format", FORMATS)
def test_files_suit_the_oldest_runtimes_and_name_no_path_of_this_machine(
    classifier: Path, cache: Path, format: str
) -> None:
    import onnx

    path = export_model(classifier, format, cache=cache).artifact.model_path
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version <= 10
    domains = {entry.domain: entry.version for entry in model.opset_import}
    assert domains == {"": 18} | ({"com.microsoft": 1} if format == "onnx-int8" else {})
    assert [value.name for value in model.graph.input] == ["input_ids", "attention_mask"]
    shapes = [[dim.dim_param for dim in value.type.tensor_type.shape.dim] for value in model.graph.input]
    assert shapes == [["batch", "sequence"]] * 2
    assert [value.name for value in model.graph.output] == ["logits"]
    assert b"site-packages" not in path.read_bytes()


def test_bin_and_old_names_give_the_same_file_as_safetensors(classifier: Path, cache: Path, tmp_path: Path) -> None:
    import torch

    state = build("XLMRobertaForSequenceClassification").state_dict()
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in state.items()
    }
    for folder, content in (("bin", state), ("old", old)):
        (tmp_path / folder).mkdir()
        shutil.copy(classifier / "config.json", tmp_path / folder)
        torch.save(content, tmp_path / folder / "pytorch_model.bin")
    expected = export_model(classifier, "onnx-fp32", cache=cache).artifact.sha256
    assert export_model(tmp_path / "bin", "onnx-fp32", cache=cache).artifact.sha256 == expected
    assert export_model(tmp_path / "old", "onnx-fp32", cache=cache).artifact.sha256 == expected


def test_the_encoder_of_a_classifier_can_be_exported_alone(classifier: Path, cache: Path) -> None:
    artifact = export_model(classifier, "onnx-fp32", task="encoder", cache=cache).artifact
    assert artifact.head == "XLMRobertaModel"
    ids, mask = padded_batch()
    assert run(artifact, ids, mask).shape == (3, MAX_SEQ_LEN, 32)


def test_half_precision_checkpoints_are_exported_as_float32(cache: Path, tmp_path: Path) -> None:
    import torch

    build("XLMRobertaModel").to(torch.bfloat16).save_pretrained(tmp_path / "half")
    parity = export_model(tmp_path / "half", "onnx-fp32", cache=cache).artifact.parity
    assert parity is not None and parity.max_abs_diff <= 1e-3


@pytest.mark.long
def test_reference_models_are_the_same_bytes_every_time(cache: Path, tmp_path: Path) -> None:
    first = export_model("reference:tiny", "onnx-fp32", cache=cache)
    second = export_model("reference:tiny", "onnx-fp32", cache=tmp_path)
    assert not second.cached
    assert first.artifact.sha256 == second.artifact.sha256
    assert first.variant.name == "reference:tiny"
    assert first.variant.is_reference
    assert first.artifact.vocab_size == 1000


def test_a_model_above_the_bound_of_one_file_keeps_its_data_beside_it(
    classifier: Path, cache: Path, tmp_path: Path
) -> None:
    import onnx_ir

    from edgebench.export import onnx_file

    whole = export_model(classifier, "onnx-fp32", cache=cache).artifact
    onnx_file.save(onnx_ir.load(whole.model_path), tmp_path, largest_file_bytes=1 << 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
    existing = export_model(tmp_path / "model.onnx", cache=cache).artifact
    assert [file.name for file in existing.files] == ["model.onnx", "model.onnx.data"]
    ids, mask = padded_batch()
    np.testing.assert_array_equal(run(existing, ids, mask), run(whole, ids, mask))


def test_an_existing_file_is_taken_as_it_is(classifier: Path, cache: Path, tmp_path: Path) -> None:
    made = export_model(classifier, "onnx-int8", cache=cache).artifact
    path = shutil.copy(made.model_path, tmp_path / "mine.onnx")
    exported = export_model(path, cache=cache)
    artifact = exported.artifact
    assert exported.variant.name == "mine"
    assert artifact.format is Format.ONNX
    assert artifact.sha256 == made.sha256
    assert artifact.model_path == tmp_path / "mine.onnx"
    assert (artifact.parity, artifact.seconds) == (None, None)
    # Both are in the graph.
    assert (artifact.vocab_size, artifact.max_seq_len) == (made.vocab_size, made.max_seq_len)


def test_a_file_linked_from_a_hubs_cache_is_measured_under_the_links_name(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the hub keeps models: snapshots/<revision>/<file> links to blobs/<hash>, each file by itself."""
    import onnx

    monkeypatch.setenv("EDGEBENCH_HOME", str(tmp_path / "board"))
    monkeypatch.setenv("EDGEBENCH_CACHE", str(cache))
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "5f2c"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    model = onnx.load(export_model("reference:tiny", "onnx-fp32", cache=cache).artifact.model_path)
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="model.data")
    for number, name in enumerate(("model.onnx", "model.data")):
        (tmp_path / name).rename(blobs / f"{number:064x}")
        (snapshot / name).symlink_to(f"../../blobs/{number:064x}")
    measured = edgebench.profile(
        snapshot / "model.onnx",
        workload=edgebench.Workload(seq_len=8),
        plan=edgebench.RunPlan(runs=1, min_count=3, min_duration_s=0),
        overhead=False,
        cold=False,
        store=tmp_path / "store",
    )
    artifact = measured.subject.artifact
    assert [file.name for file in artifact.files] == ["model.onnx", "model.data"]
    assert artifact.model_path == snapshot.resolve() / "model.onnx"
    assert measured.subject.variant.name == "5f2c"
    assert len(measured.runs[0].latencies_ns) >= 3


def test_out_gets_whole_copies_in_a_folder_for_each_variant_and_format(
    classifier: Path, cache: Path, tmp_path: Path
) -> None:
    exported: Exported = export_model(classifier, "onnx-int8", name="a/b", out=tmp_path, cache=cache)
    folder = tmp_path / "a-b" / "onnx-int8"
    assert exported.artifact.path == folder
    assert sorted(path.name for path in folder.iterdir()) == ["artifact.json", "model.onnx"]
    assert Artifact.from_json(json.loads((folder / "artifact.json").read_text())) == exported.artifact
    assert hash_file(exported.artifact.model_path) == exported.artifact.sha256


def test_what_out_got_is_known_again_by_its_file_and_by_its_folder(
    classifier: Path, cache: Path, tmp_path: Path
) -> None:
    exported = export_model(classifier, "onnx-int8", name="a/b", out=tmp_path, cache=cache)
    for source in (exported.artifact.model_path, exported.artifact.path):
        taken = export_model(source, cache=cache)
        assert taken.artifact == exported.artifact
        assert (taken.variant.name, taken.variant.lineage) == ("a/b", exported.variant.lineage)
        assert taken.variant.parameters == exported.variant.parameters is not None
        assert taken.variant.source == str(exported.artifact.model_path)
    with pytest.raises(CheckpointError, match=r"no config\.json; try one of the exported files in it: .*onnx-int8$"):
        export_model(tmp_path / "a-b", cache=cache)


def test_a_folder_that_was_exported_is_profiled_with_its_tokenizer(
    encoder: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEBENCH_CACHE", str(cache))
    folder = export_model(encoder, "onnx-int8", out=tmp_path, cache=cache).artifact.path
    measured = edgebench.profile(
        folder,
        workload=edgebench.Workload(texts=("abc", "hello")),
        plan=edgebench.RunPlan(runs=1, min_count=3, min_duration_s=0),
        overhead=False,
        cold=False,
        store=tmp_path / "store",
    )
    artifact = measured.subject.artifact
    assert (artifact.format, artifact.head) == (Format.ONNX_INT8, "XLMRobertaModel")
    with pytest.raises(ConfigError, match="is profiled as it is: leave the format"):
        edgebench.profile(folder, format="onnx-fp32", store=tmp_path / "store")


def test_a_tokenizer_is_found_again_from_any_working_folder(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(encoder.parent)
    assert open_checkpoint(Path(encoder.name), source=encoder.name, task=None).tokenizer == str(encoder)


def test_random_weights_stay_known_as_such_once_they_are_a_file(cache: Path, tmp_path: Path) -> None:
    exported = export_model("reference:tiny", "onnx-int8", out=tmp_path, cache=cache)
    assert export_model(exported.artifact.path, cache=cache).variant.is_reference


def test_texts_are_encoded_whole_by_the_checkpoints_own_tokenizer(encoder: Path, cache: Path) -> None:
    artifact = export_model(encoder, "onnx-fp32", cache=cache).artifact
    encoded = encode_texts(artifact, ["ab", "abcdefghij"], prefix="q")
    assert encoded.lengths.tolist() == [5, 13]
    assert encoded.ids[:5].tolist() == [0, 4 + 16, 4, 5, 2]
