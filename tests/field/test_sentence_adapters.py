"""Adapters on sentence-transformers models: the base's modules are kept; a merge in the cache is used only intact."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgebench.artifact import hash_file
from edgebench.errors import CheckpointError
from edgebench.export import export_model, is_sentence_model
from edgebench.export.adapter_head import merged_head
from edgebench.export.adapters import _copies, merged_folder
from edgebench.export.made_folders import first_changed
from tests.evaluation.conftest import encode
from tests.field.sentence_folders import torch_vectors, write_sentence_folder
from tests.needed import need

np = pytest.importorskip("numpy")
need("torch")
pytestmark = pytest.mark.export

TASK = "sentence-embedding"
ROWS = [encode(line) for line in ("a", "ab cd", "the quick brown fox jumps over")]


def write_adapter(folder: Path, base: object, **values: Any) -> Path:
    """Write the settings of an adapter, with tensors that can't be read."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"peft_type": "LORA", "task_type": "FEATURE_EXTRACTION", "base_model_name_or_path": str(base)}
    (folder / "adapter_config.json").write_text(json.dumps(config | values))
    (folder / "adapter_model.safetensors").write_bytes(b"adapter")
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CLS and Dense, the encoder in a subfolder."""
    return write_sentence_folder(
        tmp_path_factory.mktemp("bases") / "base",
        ["cls"],
        dense=16,
        normalize=True,
        subfolder="0_Transformer",
        settings={"prompts": {"q": "q "}, "default_prompt_name": "q"},
        transformer={"max_seq_length": 24},
    )


def test_an_adapter_is_a_sentence_model_if_its_base_is_one(base: Path, tmp_path: Path) -> None:
    assert is_sentence_model(write_adapter(tmp_path / "on-base", base))
    assert not is_sentence_model(write_adapter(tmp_path / "on-encoder", base / "0_Transformer"))
    own = write_adapter(tmp_path / "own", base / "0_Transformer")
    shutil.copy(base / "modules.json", own)
    assert is_sentence_model(own)
    with pytest.raises(CheckpointError, match="its base '/gone' is not here"):
        is_sentence_model(write_adapter(tmp_path / "alone", "/gone"))


def test_the_base_s_modules_tokenizer_and_settings_are_copied(base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", base)
    (adapter / "tokenizer_config.json").write_text("{}")  # without a vocabulary: not a tokenizer
    (adapter / "lineage.json").write_text("{}")
    copies = _copies(adapter, base, base / "0_Transformer")
    expected = [
        "modules.json",
        "config_sentence_transformers.json",
        "0_Transformer/sentence_bert_config.json",
        "0_Transformer/tokenizer.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
    ]
    assert copies == {name: base / name for name in expected} | {"0_Transformer/lineage.json": adapter / "lineage.json"}


def test_an_adapter_s_own_modules_and_tokenizer_come_before_the_base_s(base: Path, tmp_path: Path) -> None:
    own = write_sentence_folder(tmp_path / "own", ["mean"])
    for name in ("config.json", "model.safetensors"):
        (own / name).unlink()
    write_adapter(own, base)
    copies = _copies(own, base, base / "0_Transformer")
    assert copies == {name: own / name for name in ("modules.json", "tokenizer.json", "1_Pooling/config.json")}


def test_a_file_of_a_merged_folder_that_is_missing_changed_or_new_is_found(tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    (merged / "1_Pooling").mkdir(parents=True)
    paths = [merged / "model.safetensors", merged / "1_Pooling" / "config.json"]
    for path in paths:
        path.write_text(path.name)
    assert first_changed(merged, tmp_path) == "made.json"
    hashes = {str(path.relative_to(merged)): hash_file(path) for path in paths}
    (merged / "made.json").write_text(json.dumps(hashes))
    assert first_changed(merged, tmp_path) is None
    for path, name in zip(paths, hashes, strict=True):
        content = path.read_text()
        path.write_text("x" * len(content))
        assert first_changed(merged, tmp_path) == name
        path.unlink()
        assert first_changed(merged, tmp_path) == name
        path.write_text(content)
    (merged / "added_tokens.json").write_text("{}")
    assert first_changed(merged, tmp_path) == "added_tokens.json"


@pytest.mark.parametrize("task", [None, "encoder", TASK])
def test_the_task_that_is_named_decides_only_where_adapter_and_base_leave_it_open(base: Path, task: str | None) -> None:
    encoder = base / "0_Transformer"
    on_encoder, on_head = {"encoder.layer.0": (2, 2)}, {"roberta.encoder.layer.0": (2, 2)}
    assert merged_head(encoder, on_encoder, task=task, kind=None).task == "encoder"
    assert merged_head(encoder, on_encoder, task=task, kind="FEATURE_EXTRACTION").task == "encoder"
    assert merged_head(encoder, on_head, task=task, kind="SEQ_CLS").task == "sequence-classification"
    assert merged_head(encoder, on_head, task="token-classification", kind=None).task == "token-classification"


# Starts three processes that import torch and peft, and traces a graph: some 40 s.
@pytest.mark.long
def test_a_merge_keeps_the_vectors_and_is_made_once_and_again_if_it_is_damaged(
    base: Path, cache: Path, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed")
    import onnxruntime
    import torch
    import transformers

    base = shutil.copytree(base, tmp_path / "base")
    model = transformers.XLMRobertaModel.from_pretrained(base / "0_Transformer", add_pooling_layer=False)
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["query", "value"])).eval()
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3)
    adapter = tmp_path / "adapter"
    adapted.save_pretrained(adapter)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": str(base)}))
    artifact = export_model(adapter, "onnx-fp32", task=TASK, cache=cache).artifact
    whole = shutil.copytree(base, tmp_path / "expected")
    adapted.merge_and_unload().save_pretrained(whole / "0_Transformer")
    expected = torch_vectors(whole, ROWS, ["cls"], subfolder="0_Transformer")
    session = onnxruntime.InferenceSession(artifact.model_path, providers=["CPUExecutionProvider"])
    for row, vector in zip(ROWS, expected, strict=True):
        ids = np.array([row])
        (actual,) = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        np.testing.assert_allclose(actual[0], vector, atol=1e-4)
    assert artifact.pooling == "cls, dense 32->16 Tanh, normalize" and artifact.max_seq_len == 24

    said: list[str] = []
    merged = merged_folder(adapter, task=TASK, cache=cache, say=said.append)
    assert merged_folder(adapter, task="encoder", cache=cache, say=said.append) == merged
    assert not any("merging" in line for line in said)

    (merged / "2_Dense" / "config.json").unlink()
    (merged / "0_Transformer" / "model.safetensors").write_bytes(b"damaged")
    assert merged_folder(adapter, task=TASK, cache=cache, say=said.append) == merged
    assert any("model.safetensors is not the file that was made" in line for line in said)
    assert (merged / "2_Dense" / "config.json").is_file()
    said.clear()
    assert merged_folder(adapter, task=TASK, cache=cache, say=said.append) == merged
    assert not any("merging" in line for line in said)

    (base / "0_Transformer" / "tokenizer_config.json").write_text("{}")
    other = merged_folder(adapter, task=TASK, cache=cache, say=said.append)
    assert other != merged and (other / "0_Transformer" / "tokenizer_config.json").is_file()
