"""Adapters of every kind that can be merged answer as they did in PEFT, with the modules trained beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgebench.errors import CheckpointError
from edgebench.export.adapter_merge import merge
from edgebench.export.adapters import base_folder
from tests.export.conftest import build
from tests.needed import need

need("torch")
peft = pytest.importorskip("peft")
pytestmark = pytest.mark.export

TASK = "sequence-classification"
ON = ["query", "value"]
KINDS: dict[str, Callable[[], Any]] = {
    "dora": lambda: peft.LoraConfig(task_type="SEQ_CLS", target_modules=ON, r=4, use_dora=True),
    "patterns": lambda: peft.LoraConfig(
        task_type="SEQ_CLS", target_modules=ON, r=4, use_rslora=True, rank_pattern={"query": 2}, bias="all"
    ),
    "embeddings": lambda: peft.LoraConfig(
        task_type="SEQ_CLS", target_modules=ON, r=4, modules_to_save=["word_embeddings", "classifier"]
    ),
    "ia3": lambda: peft.IA3Config(
        task_type="SEQ_CLS", target_modules=["key", "output.dense"], feedforward_modules=["output.dense"]
    ),
    "loha": lambda: peft.LoHaConfig(task_type="SEQ_CLS", target_modules=ON, r=4),
    "norms": lambda: peft.LNTuningConfig(task_type="SEQ_CLS", target_modules=["LayerNorm"]),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kinds") / "base"
    build("XLMRobertaForSequenceClassification").save_pretrained(folder)
    return folder


def trained(base: Path, folder: Path, config: Any) -> Any:
    """Save an adapter with random numbers; return the logits of base and adapter for `inputs()`."""
    import torch
    import transformers

    torch.manual_seed(1)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(base)
    adapted: Any = peft.get_peft_model(model, config)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
        adapted.save_pretrained(folder)
        return adapted.eval()(**inputs()).logits


def inputs() -> dict[str, Any]:
    import torch

    ids = torch.arange(5, 20)[None]
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_of_this_kind_is_merged_with_its_trained_modules(kind: str, base: Path, tmp_path: Path) -> None:
    import torch
    import transformers

    expected = trained(base, tmp_path / "adapter", KINDS[kind]())
    merge(tmp_path / "adapter", base, tmp_path / "merged", task=TASK)
    merged = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged").eval()
    with torch.no_grad():
        assert torch.allclose(merged(**inputs()).logits, expected, atol=1e-5)


def change_settings(folder: Path, **values: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def without(folder: Path, part: str) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "adapter_model.safetensors"
    save_file({name: tensor for name, tensor in load_file(path).items() if part not in name}, path)


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (lambda folder: change_settings(folder, target_modules=[*ON, "key"]), "self.key.lora_A"),
        (lambda folder: without(folder, "layer.1.attention.self.value"), "layer.1.attention.self.value.lora_A"),
        (lambda folder: without(folder, "classifier"), "classifier."),
    ],
    ids=["settings", "layer", "head"],
)
def test_tensors_that_the_settings_ask_for_and_the_file_lacks_are_named(
    damage: Callable[[Path], None], name: str, base: Path, tmp_path: Path
) -> None:
    """PEFT would start them with numbers that do nothing, so that a part of the adapter would be lost silently."""
    trained(base, tmp_path / "adapter", peft.LoraConfig(task_type="SEQ_CLS", target_modules=ON, r=4))
    damage(tmp_path / "adapter")
    with pytest.raises(CheckpointError, match=rf"its file lacks .* of the tensors that adapter_config.json .*{name}"):
        merge(tmp_path / "adapter", base, tmp_path / "merged", task=TASK)


def test_an_adapter_of_adapterhub_is_named(tmp_path: Path) -> None:
    config = {"config": {"reduction_factor": 16}, "model_class": "XLMRobertaAdapterModel", "model_name": "xlm-r"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "pytorch_adapter.bin").write_bytes(b"tensors")
    with pytest.raises(CheckpointError, match="is an adapter of AdapterHub"):
        base_folder(tmp_path)
