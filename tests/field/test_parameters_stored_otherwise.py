"""Parameters that a file holds twice, or as something else: refused by name, whatever prefix they have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgebench.errors import CheckpointError
from edgebench.export.checkpoint import open_checkpoint
from edgebench.export.weights import Weights, load_stock_model, open_weights
from tests.export.conftest import build
from tests.field.test_families import build_family
from tests.needed import need

need("torch")
pytestmark = pytest.mark.export

State = dict[str, Any]
WORDS = "embeddings.word_embeddings.weight"
DECODERS = {
    "xlm-roberta": (f"roberta.{WORDS}", "lm_head.decoder.weight"),
    "bert": (f"bert.{WORDS}", "cls.predictions.decoder.weight"),
    "distilbert": (f"distilbert.{WORDS}", "vocab_projector.weight"),
}


def saved(folder: Path, change: Callable[[State], State], **config: Any) -> Path:
    """Replace a checkpoint's weights by a .bin of what `change` returns of them, and entries of its config."""
    import torch
    from safetensors.torch import load_file

    values = json.loads((folder / "config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps(values))
    state = dict(load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()
    torch.save(change(state), folder / "pytorch_model.bin")
    return folder


def opened(folder: Path) -> Weights:
    return open_weights(open_checkpoint(folder, source=str(folder), task=None))


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        opened(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("model_type", DECODERS)
def test_a_decoder_with_numbers_of_its_own_is_refused_and_a_copy_of_the_embeddings_is_not(
    model_type: str, prefix: str, tmp_path: Path
) -> None:
    import torch

    words, decoder = DECODERS[model_type]

    def with_decoder(make: Callable[[Any], Any]) -> Callable[[State], State]:
        return lambda state: {f"{prefix}{name}": one for name, one in (state | {decoder: make(state[words])}).items()}

    own = saved(build_family(model_type, "masked-lm", tmp_path / "own"), with_decoder(torch.randn_like))
    message = refusal(own)
    assert f"{prefix}{decoder}" in message and f"{prefix}{words}" in message
    assert "are one parameter" in message and "different numbers" in message
    copied = saved(build_family(model_type, "masked-lm", tmp_path / "copy"), with_decoder(torch.clone))
    assert opened(copied).readers


def test_a_bias_and_a_norm_with_two_values_are_refused(tmp_path: Path) -> None:
    import torch

    biases = {"lm_head.decoder.bias": torch.ones(120)}
    folder = saved(build_family("roberta", "masked-lm", tmp_path / "bias"), lambda state: state | biases)
    assert "lm_head.bias and lm_head.decoder.bias are one parameter" in refusal(folder)
    old = {"embeddings.LayerNorm.gamma": torch.full((32,), 3.0)}
    folder = saved(build_family("bert", "encoder", tmp_path / "norm"), lambda state: state | old)
    assert "embeddings.LayerNorm.gamma" in refusal(folder)


def pruned(state: State) -> State:
    import torch

    name = "roberta.encoder.layer.0.attention.self.query.weight"
    return {f"{name}_orig": state.pop(name), f"{name}_mask": torch.ones(32, 32), **state}


def flattened(state: State) -> State:
    import torch

    return {"_fsdp_wrapped_module._flat_param": torch.zeros(sum(tensor.numel() for tensor in state.values()))}


def parametrised(state: State) -> State:
    name = "roberta.encoder.layer.0.output.dense"
    weight = state.pop(f"{name}.weight")
    return {f"{name}.parametrizations.weight.original": weight, **state}


@pytest.mark.parametrize(
    ("change", "words"),
    [(pruned, "prune.remove()"), (flattened, "FULL_STATE_DICT"), (parametrised, "remove_parametrizations()")],
)
def test_parameters_that_training_stored_as_something_else_are_named(
    change: Callable[[State], State], words: str, tmp_path: Path
) -> None:
    folder = saved(build_family("roberta", "sequence-classification", tmp_path / "model"), change)
    message = refusal(folder)
    assert "lacks" in message and words in message


def test_a_head_under_other_names_does_not_suggest_the_task_that_was_tried(tmp_path: Path) -> None:
    """As the first mDeBERTa was saved: its head's names are those that transformers calls not legacy."""

    def renamed(state: State) -> State:
        return {name.replace("cls.predictions.", "lm_predictions.lm_head."): one for name, one in state.items()}

    message = refusal(saved(build_family("deberta-v2", "masked-lm", tmp_path / "model"), renamed))
    assert "try `task='encoder'`" in message and "masked-lm" not in message


def test_a_number_beside_the_table_of_tensors_is_not_the_table(tmp_path: Path) -> None:
    import torch

    folder = tmp_path / "trained"
    build("XLMRobertaForSequenceClassification").save_pretrained(folder)
    saved(folder, lambda state: {"epoch": 3, "best": torch.tensor(0.8), "state_dict": state})
    assert "the tensors stand under 'state_dict' in the file" in opened(folder).notes


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"hidden_act": "nonsense"}, "KeyError: 'nonsense'"),
        ({"pad_token_id": 120}, "pad_token_id 120 in config.json is beyond its vocab_size 120"),
    ],
)
def test_entries_that_no_model_can_have_are_named(entry: dict[str, Any], words: str, tmp_path: Path) -> None:
    assert words in refusal(saved(build_family("bert", "encoder", tmp_path / "model"), dict, **entry))


def test_chunks_that_save_memory_in_training_change_nothing(tmp_path: Path) -> None:
    """transformers refuses inputs that are no multiple of them."""
    plain = open_checkpoint(build_family("bert", "encoder", tmp_path / "a"), source="a", task=None)
    chunked = build_family("bert", "encoder", tmp_path / "b", chunk_size_feed_forward=2)
    checkpoint = open_checkpoint(chunked, source="b", task=None)
    assert checkpoint.geometry == plain.geometry
    assert load_stock_model(checkpoint).config.chunk_size_feed_forward == 0


@pytest.mark.parametrize(("kind", "words"), [("sparse", "is sparse"), ("meta", "has no numbers")])
def test_a_tensor_that_is_sparse_or_has_no_numbers_is_named(kind: str, words: str, tmp_path: Path) -> None:
    import torch

    name = "embeddings.word_embeddings.weight"

    def changed(state: State) -> State:
        tensor = state[name]
        return state | {name: tensor.to_sparse() if kind == "sparse" else torch.empty(tensor.shape, device="meta")}

    weights = opened(saved(build_family("bert", "encoder", tmp_path / "model"), changed))
    with pytest.raises(CheckpointError, match=f"{name} {words}"):
        weights.read(name, (120, 32))


def test_an_encoder_and_a_head_of_a_class_of_ones_own_are_not_called_several_models(tmp_path: Path) -> None:
    """What such a class computes of them is not known; its encoder can be exported."""

    def held(state: State) -> State:
        return {name.replace("roberta.", "encoder.", 1): tensor for name, tensor in state.items()}

    folder = saved(build_family("roberta", "sequence-classification", tmp_path / "model"), held)
    message = refusal(folder)
    assert "lacks 4 of the 41 tensors" in message and "(the others stand under 'encoder.')" in message
    assert "try `task='encoder'`" in message
    assert open_weights(open_checkpoint(folder, source="m", task="encoder")).readers
