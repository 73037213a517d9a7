"""Folders that are no plain checkpoint: adapters, folders of a training, of other exporters: used, or pointed to."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from edgebench.errors import CheckpointError, ConfigError, MissingExtra
from edgebench.export import export_model
from tests.evaluation.conftest import write_tokenizer
from tests.export.conftest import build
from tests.needed import need

need("torch")
pytestmark = pytest.mark.export

ARCHITECTURE = "XLMRobertaForSequenceClassification"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "model"
    build(ARCHITECTURE).save_pretrained(folder)
    return folder


def refusal(folder: Path, cache: Path, **options: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        export_model(folder, "onnx-fp32", cache=cache, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("steps", [(500,), (500, 1000, 90)])
def test_checkpoints_of_a_training_are_pointed_to_and_none_is_chosen(
    plain: Path, tmp_path: Path, steps: tuple[int, ...]
) -> None:
    folder = tmp_path / "run"
    for step in steps:
        shutil.copytree(plain, folder / f"checkpoint-{step}")
    message = refusal(folder, tmp_path)
    assert f"try {folder / f'checkpoint-{max(steps)}'}" in message
    assert all(f"checkpoint-{step}" in message for step in steps)
    shutil.copy(plain / "config.json", folder)  # as some trainings leave it
    assert f"try {folder / f'checkpoint-{max(steps)}'}" in refusal(folder, tmp_path)


@pytest.mark.parametrize("name", ["0_Transformer", "encoder", "final"])
def test_a_checkpoint_in_a_subfolder_is_pointed_to(plain: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(plain, tmp_path / "outer" / name)
    assert f"has no config.json; try {tmp_path / 'outer' / name}" in refusal(tmp_path / "outer", tmp_path)


@pytest.mark.parametrize("with_config", [True, False])
def test_onnx_files_in_a_subfolder_are_pointed_to(plain: Path, tmp_path: Path, with_config: bool) -> None:
    folder = tmp_path / "hub"
    (folder / "onnx").mkdir(parents=True)
    for name in ("model.onnx", "model_qint8_arm64.onnx"):
        (folder / "onnx" / name).write_bytes(b"onnx")
    if with_config:
        shutil.copy(plain / "config.json", folder)
    message = refusal(folder, tmp_path)
    assert f"several model files: {Path('onnx/model.onnx')}, {Path('onnx/model_qint8_arm64.onnx')}" in message
    assert f"name one, such as {folder / 'onnx' / 'model.onnx'}" in message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tf_model.h5", "TensorFlow's"),
        ("flax_model.msgpack", "Flax's"),
        ("epoch=3.ckpt", "Lightning's"),
        ("model.pt", "a file of torch"),
        ("model.fp16.safetensors", "under another name"),
        ("global_step500/", "DeepSpeed's; zero_to_fp32.py"),
    ],
)
def test_weights_of_another_kind_are_named(plain: Path, tmp_path: Path, name: str, words: str) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    shutil.copy(plain / "config.json", folder)
    (folder / name).mkdir() if name.endswith("/") else (folder / name).write_bytes(b"weights")
    message = refusal(folder, tmp_path)
    assert f"it has {name.strip('/')} ({words}" in message
    assert "save_pretrained()" in message


def test_weights_without_a_config_and_a_file_of_weights_are_pointed_to_their_folder(
    plain: Path, tmp_path: Path
) -> None:
    (tmp_path / "bare").mkdir()
    shutil.copy(plain / "model.safetensors", tmp_path / "bare")
    assert "it has weights; save its config.json beside them" in refusal(tmp_path / "bare", tmp_path)
    with pytest.raises(ConfigError, match=f"try the folder that it is in: {plain}"):
        export_model(plain / "model.safetensors", cache=tmp_path)


# --- adapters ---------------------------------------------------------------------------------------------------


def write_adapter(folder: Path, base: object, **values: Any) -> Path:
    """Write an adapter's folder whose tensors are never read."""
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "task_type": "SEQ_CLS", "base_model_name_or_path": str(base)}
    (folder / "adapter_config.json").write_text(json.dumps(config | values))
    (folder / "adapter_model.safetensors").write_bytes(b"adapter")
    return folder


def test_an_adapter_without_its_base_says_how_to_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    gone = refusal(write_adapter(tmp_path / "a", "/gone/base"), tmp_path)
    assert "its base '/gone/base' is not here" in gone and "PEFT's merge_and_unload()" in gone
    hub = refusal(write_adapter(tmp_path / "b", "nobody/no-such-base"), tmp_path)
    assert "its base 'nobody/no-such-base' is not here" in hub and "PEFT's merge_and_unload()" in hub
    assert "names no base_model_name_or_path" in refusal(
        write_adapter(tmp_path / "c", "", base_model_name_or_path=None), tmp_path
    )


def test_an_adapter_of_inputs_and_one_without_tensors_are_refused(plain: Path, tmp_path: Path) -> None:
    prompts = write_adapter(tmp_path / "prompts", plain, peft_type="PROMPT_TUNING")
    assert "of the kind PROMPT_TUNING, which can't be merged into weights" in refusal(prompts, tmp_path)
    empty = write_adapter(tmp_path / "empty", plain)
    (empty / "adapter_model.safetensors").unlink()
    assert "no adapter_model.safetensors" in refusal(empty, tmp_path)


def test_an_adapter_beside_weights_is_not_guessed_at(plain: Path, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "both", plain)
    shutil.copytree(plain, folder, dirs_exist_ok=True)
    assert "holds an adapter (adapter_config.json) beside weights" in refusal(folder, tmp_path)


def test_adapters_of_a_training_are_pointed_to(plain: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "run" / "checkpoint-20", plain)
    assert f"try {tmp_path / 'run' / 'checkpoint-20'}" in refusal(tmp_path / "run", tmp_path)


@pytest.mark.skipif(find_spec("peft") is not None, reason="peft is installed")
def test_the_extra_that_merges_is_named(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match=r"needs peft, .* pip install 'edgebench\[lora\]'"):
        export_model(write_adapter(tmp_path / "a", plain), cache=tmp_path)


def test_a_base_that_is_quantised_is_refused_as_such(plain: Path, tmp_path: Path) -> None:
    base = shutil.copytree(plain, tmp_path / "base")
    config = json.loads((base / "config.json").read_text()) | {"quantization_config": {"quant_method": "bitsandbytes"}}
    (base / "config.json").write_text(json.dumps(config))
    assert "quantization_config (quant_method bitsandbytes)" in refusal(write_adapter(tmp_path / "a", base), tmp_path)


# Starts a process that imports torch and peft: some 20 s.
@pytest.mark.long
@pytest.mark.parametrize("kind", ["lora", "dora-without-task", "encoder"])
def test_an_adapter_is_merged_with_its_base(cache: Path, tmp_path: Path, kind: str) -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed")
    import onnxruntime
    import torch
    import transformers

    base = tmp_path / "base"
    build("XLMRobertaModel").save_pretrained(base)
    write_tokenizer(base)
    model: Any = transformers.XLMRobertaForSequenceClassification.from_pretrained(base, num_labels=3)
    if kind == "encoder":
        model = transformers.XLMRobertaModel.from_pretrained(base)
    head = ["classifier"] if kind == "dora-without-task" else None
    task = {"lora": "SEQ_CLS", "encoder": "FEATURE_EXTRACTION"}.get(kind)
    settings = peft.LoraConfig(
        task_type=task, r=4, target_modules=["query", "value"], modules_to_save=head, use_dora=kind.startswith("dora")
    )
    adapted = peft.get_peft_model(model, settings).eval()
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name or "classifier" in name:
                parameter.normal_(0, 0.3)
    adapted.save_pretrained(tmp_path / "adapter")
    ids = torch.tensor([[0, 5, 6, 7, 2]])
    with torch.no_grad():
        expected = adapted(input_ids=ids, attention_mask=torch.ones_like(ids))[0].numpy()
    named = {"dora-without-task": "sequence-classification"}.get(kind)
    exported = export_model(tmp_path / "adapter", "onnx-fp32", task=named, cache=cache)
    session = onnxruntime.InferenceSession(exported.artifact.model_path, providers=["CPUExecutionProvider"])
    (actual, *_) = session.run(None, {"input_ids": ids.numpy(), "attention_mask": torch.ones_like(ids).numpy()})
    assert abs(actual - expected).max() < 1e-4
    assert exported.variant.name == "adapter"
    assert exported.artifact.tokenizer is not None
    assert export_model(tmp_path / "adapter", "onnx-fp32", task=named, cache=cache).cached


@pytest.mark.long
def test_an_adapter_whose_head_nobody_trained_is_refused(cache: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed")
    import transformers

    base = tmp_path / "base"
    build("XLMRobertaModel").save_pretrained(base)
    model = transformers.XLMRobertaForSequenceClassification.from_pretrained(base, num_labels=3)
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["query"]))
    adapted.save_pretrained(tmp_path / "adapter")
    message = refusal(tmp_path / "adapter", cache, task="sequence-classification")
    assert "neither the adapter nor its base" in message and "the head is untrained" in message
