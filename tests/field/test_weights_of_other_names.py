"""Weights under other names, beside others, or of another kind: exported as what they are, or refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgebench.errors import CheckpointError
from edgebench.export import Exported, export_model
from tests.export.conftest import build
from tests.needed import need

need("torch")
pytestmark = pytest.mark.export

State = dict[str, Any]
NewFolder = Callable[..., Path]
ARCHITECTURE = "XLMRobertaForSequenceClassification"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("named") / "classifier"
    build(ARCHITECTURE).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("named") / "encoder"
    build("XLMRobertaModel").save_pretrained(folder)
    return folder


def saved(source: Path, to: Path, change: Callable[[State], Any], **config: Any) -> Path:
    """Return a folder whose .bin holds what `change` returns of the checkpoint's tensors."""
    import torch
    from safetensors.torch import load_file

    to.mkdir()
    values = json.loads((source / "config.json").read_text()) | config
    (to / "config.json").write_text(json.dumps(values))
    torch.save(change(dict(load_file(source / "model.safetensors"))), to / "pytorch_model.bin")
    return to


def export(folder: Path, cache: Path, **options: Any) -> Exported:
    return export_model(folder, "onnx-fp32", cache=cache, **options)


def refusal(folder: Path, cache: Path, **options: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        export(folder, cache, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def under(prefix: str) -> Callable[[State], State]:
    return lambda state: {f"{prefix}{name}": tensor for name, tensor in state.items()}


def wrapped_inside(state: State) -> State:
    return {name.replace("encoder.layer.0.", "encoder.layer.0._orig_mod."): tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (under("module."), "module."),
        (under("_orig_mod.module."), "_orig_mod."),
        (wrapped_inside, "_orig_mod."),
        (under("model."), "'model.'"),
        (under("base_model.model."), "'base_model.model.'"),
        (under("my_classifier."), "'my_classifier.'"),
        (lambda state: {"state_dict": state, "epoch": 3}, "'state_dict'"),
        (lambda state: {"state_dict": under("model.")(state), "optimizer_states": [{}]}, "'model.'"),
    ],
    ids=["module", "compiled", "compiled-inside", "model", "peft", "own-name", "state-dict", "lightning"],
)
def test_a_prefix_that_training_code_left_is_left_out_and_named(
    classifier: Path, cache: Path, tmp_path: Path, change: Callable[[State], Any], note: str
) -> None:
    expected = export(classifier, cache).artifact
    said: list[str] = []
    folder = saved(classifier, tmp_path / "prefixed", change)
    artifact = export(folder, cache, on_progress=said.append).artifact
    assert artifact.sha256 == expected.sha256
    assert any(note in text for text in artifact.notes)
    assert set(artifact.notes) <= set(said)
    assert export(folder, cache).artifact.notes == artifact.notes  # from the cache as well


def test_a_bare_encoder_in_an_attribute_is_found(encoder: Path, cache: Path, tmp_path: Path) -> None:
    import torch

    folder = saved(encoder, tmp_path / "l", lambda s: under("encoder.")(s) | {"head.weight": torch.zeros(3, 32)})
    artifact = export(folder, cache).artifact
    assert artifact.sha256 == export(encoder, cache).artifact.sha256
    assert any("'encoder.'" in note for note in artifact.notes)
    assert any("head.weight" in note for note in artifact.notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: under("student.")(s) | under("teacher.")(s), "several models, under 'student.', 'teacher.'"),
        (lambda s: under("model.")(s) | under("ema.")(s), "several models, under 'ema.', 'model.'"),
        (lambda s: s | under("module.")(s), "are the same parameter"),
        (lambda s: {"model": s, "ema": s}, "several tables of tensors (model, ema)"),
        (lambda s: {"epoch": 3}, "holds no tensors (it holds epoch)"),
        (lambda s: [s], "it holds list, not a table of tensors"),
    ],
    ids=["student-teacher", "ema", "twice", "two-tables", "none", "list"],
)
def test_several_models_or_none_are_refused(
    classifier: Path, cache: Path, tmp_path: Path, change: Callable[[State], Any], words: str
) -> None:
    message = refusal(saved(classifier, tmp_path / "several", change), cache)
    for part in words.split(", '"):
        assert part.strip("'") in message


def lora(state: State) -> State:
    import torch

    query = "roberta.encoder.layer.0.attention.self.query"
    return state | {f"{query}.lora_A.weight": torch.zeros(4, 32), f"{query}.lora_B.weight": torch.zeros(32, 4)}


def unmerged(state: State) -> State:
    query = "roberta.encoder.layer.0.attention.self.query."
    renamed = {name.replace(query, f"{query}base_layer."): tensor for name, tensor in lora(state).items()}
    return under("base_model.model.")(renamed)


def relative_positions(state: State) -> State:
    import torch

    return state | {"roberta.encoder.layer.0.attention.self.distance_embedding.weight": torch.zeros(131, 8)}


def norm_in_the_head(state: State) -> State:
    import torch

    return state | {"classifier.norm.weight": torch.ones(32)}


def two_more_layers(state: State) -> State:
    deeper = {
        name.replace(".layer.0.", f".layer.{at}."): t
        for name, t in state.items()
        for at in (2, 3)
        if ".layer.0." in name
    }
    return state | deeper


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lora, "tensors of an adapter (2 tensors: roberta.encoder.layer.0.attention.self.query.lora_A.weight"),
        (unmerged, "merge first: PEFT's merge_and_unload()"),
        (relative_positions, "distance_embedding.weight, which XLMRobertaForSequenceClassification does not have"),
        (norm_in_the_head, "classifier.norm.weight, which"),
        (
            two_more_layers,
            "the weights have 4 layers (encoder.layer.3. ...) and config.json says 2 (num_hidden_layers)",
        ),
    ],
    ids=["lora", "lora-unmerged", "relative-positions", "norm-in-the-head", "layers"],
)
def test_tensors_that_change_what_is_computed_are_refused(
    classifier: Path, cache: Path, tmp_path: Path, change: Callable[[State], Any], words: str
) -> None:
    assert words in refusal(saved(classifier, tmp_path / "more", change), cache)


def test_fewer_layers_in_the_config_than_in_the_weights_are_refused(
    classifier: Path, cache: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(classifier, tmp_path / "cut")
    config = json.loads((folder / "config.json").read_text()) | {"num_hidden_layers": 1}
    (folder / "config.json").write_text(json.dumps(config))
    assert "the weights have 2 layers (encoder.layer.1. ...) and config.json says 1" in refusal(folder, cache)


def test_a_second_head_is_named_and_left_out(classifier: Path, cache: Path, tmp_path: Path) -> None:
    import torch

    def two_heads(state: State) -> State:
        return state | {"qa_outputs.weight": torch.zeros(2, 32), "roberta.embeddings.position_ids": torch.arange(66)}

    folder = saved(classifier, tmp_path / "two", two_heads)
    artifact = export(folder, cache).artifact
    assert artifact.sha256 == export(classifier, cache).artifact.sha256
    (note,) = artifact.notes
    assert note == "of the weights, the export does not use 1 tensor: qa_outputs.weight"


def test_a_head_that_was_not_trained_names_the_task(encoder: Path, cache: Path, tmp_path: Path) -> None:
    folder = saved(encoder, tmp_path / "untrained", dict, architectures=[ARCHITECTURE])
    message = refusal(folder, cache)
    assert "lacks 4 of the" in message and "classifier.dense.weight" in message
    assert "try `task='encoder'`" in message
    assert export(folder, cache, task="encoder").artifact.parity is not None


def test_another_head_in_the_weights_is_named_as_a_task(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "qa"
    build("XLMRobertaForQuestionAnswering", num_labels=2).save_pretrained(folder)
    message = refusal(folder, cache, task="sequence-classification")
    assert "try `task='question-answering'` or `task='encoder'`" in message


@pytest.mark.parametrize("kind", ["model", "scripted", "with-arguments"])
def test_a_pickled_object_is_never_unpickled(classifier: Path, cache: Path, tmp_path: Path, kind: str) -> None:
    import argparse

    import torch

    folder = tmp_path / "object"
    folder.mkdir()
    shutil.copy(classifier / "config.json", folder)
    path = folder / "pytorch_model.bin"
    if kind == "model":
        torch.save(build(ARCHITECTURE), path)
    elif kind == "scripted":
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    else:
        torch.save({"state_dict": {"a": torch.zeros(1)}, "arguments": argparse.Namespace(seed=1)}, path)
    message = refusal(folder, cache)
    assert "pytorch_model.bin can't be read as weights: it " in message
    assert {"model": ARCHITECTURE, "scripted": "TorchScript", "with-arguments": "argparse.Namespace"}[kind] in message
    assert "save its tensors" in message


@pytest.mark.parametrize("name", ["qweight", "weight_scale_inv", "weight.absmax"])
def test_quantised_tensors_without_a_config_are_named(classifier: Path, cache: Path, tmp_path: Path, name: str) -> None:
    import torch

    key = f"roberta.encoder.layer.0.output.dense.{name}"
    folder = saved(classifier, tmp_path / "quantised", lambda state: state | {key: torch.zeros(4)})
    assert f"quantised already (1 tensor: {key})" in refusal(folder, cache)
