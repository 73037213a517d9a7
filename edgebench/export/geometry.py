"""Geometry: the part of a checkpoint's config that determines the graph."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from edgebench.errors import CheckpointError
from edgebench.export.families import FAMILIES, XLM_R, Family, find_family

#: The only position embedding that the exported graph computes correctly; transformers dropped the others.
_POSITIONS = "absolute"
#: Entries of config.json that do not change the function. All others belong to a geometry, known here or not.
_NEUTRAL = {
    "model_type", "architectures", "id2label", "label2id", "num_labels", "problem_type", "finetuning_task",
    "transformers_version", "name_or_path", "torch_dtype", "dtype", "attn_implementation", "return_dict", "torchscript",
    "use_cache", "output_attentions", "output_hidden_states", "initializer_range", "gradient_checkpointing",
    "position_embedding_type", "task_specific_params", "is_decoder", "add_cross_attention", "classifier_dropout",
    "hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout", "qa_dropout",
    "seq_classif_dropout", "pooler_dropout", "summary_last_dropout", "bos_token_id", "eos_token_id",
    "chunk_size_feed_forward",
}  # fmt: skip
#: Decoders see only what stands before a token; the exported graph sees all tokens.
_DECODERS = ("is_decoder", "add_cross_attention")
_LABELS = 2  # where config.json names none


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Sizes, with the names and defaults of XLMRobertaConfig.

    Attributes:
        model_type: the family.
        further: other entries of config.json that can change the function, as (name, JSON), sorted.
        separator: the token after which the second segment of a pair begins; None: all tokens are of one segment.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    pad_token_id: int = 1
    num_labels: int = 2
    layer_norm_eps: float = 1e-12
    hidden_act: str = "gelu"
    model_type: str = XLM_R.model_type
    further: tuple[tuple[str, str], ...] = ()
    separator: int | None = None

    @property
    def family(self) -> Family:
        """The architecture."""
        return FAMILIES[self.model_type]

    @property
    def max_seq_len(self) -> int:
        """The longest input in tokens. Some families count positions from pad_token_id + 1."""
        unused = self.pad_token_id + 1 if self.family.positions_after_padding else 0
        return self.max_position_embeddings - unused

    def config(self) -> Any:
        """Return the transformers config, with eager attention, which gives the smallest graph."""
        import transformers

        sizes = {self.family.names.get(name, name): getattr(self, name) for name in _SIZES}
        further = {name: json.loads(value) for name, value in self.further}
        made = getattr(transformers, f"{self.family.classes}Config")
        return made(**further, **sizes, num_labels=self.num_labels, attn_implementation="eager")


_NO_SIZES = ("num_labels", "model_type", "further", "separator")
_SIZES = tuple(field.name for field in fields(Geometry) if field.name not in _NO_SIZES)


def geometry_from_config(config: Mapping[str, Any], *, where: str) -> Geometry:
    """Return the geometry that a `config.json` describes.

    Raises:
        CheckpointError: its architecture is not supported, it is a decoder, or a size is invalid.
    """
    family = find_family(config, where=where)
    if config.get("position_embedding_type", _POSITIONS) != _POSITIONS:
        raise CheckpointError(
            f"{where}: position_embedding_type {config['position_embedding_type']!r} is not supported"
        )
    for name in _DECODERS:
        if config.get(name):
            raise CheckpointError(
                f"{where}: {name} is true in config.json, and only encoders can be exported;"
                f" if the checkpoint was trained as an encoder, set {name} to false there"
            )
    own = {name: family.names.get(name, name) for name in _SIZES}
    values = {name: family.size(config, name) for name in _SIZES}
    labels = config.get("id2label")
    named = len(labels) if isinstance(labels, dict) and labels else config.get("num_labels")
    values["num_labels"] = _LABELS if named is None else named
    may_be_zero = {"pad_token_id"} | {name for name, default in family.defaults.items() if default == 0}
    for name, value in values.items():
        _check(name, value, where, lowest=0 if name in may_be_zero else 1)
    known = {*own, *own.values(), *_NEUTRAL}
    further = {
        name: json.dumps(value, sort_keys=True)
        for name, value in config.items()
        if name not in known and not name.startswith("_")
    }
    geometry = Geometry(**values, model_type=family.model_type, further=tuple(sorted(further.items())))
    if geometry.hidden_size % geometry.num_attention_heads:
        raise CheckpointError(f"{where}: hidden_size is not a multiple of num_attention_heads")
    if geometry.pad_token_id >= geometry.vocab_size:
        raise CheckpointError(
            f"{where}: pad_token_id {geometry.pad_token_id} in config.json is beyond its vocab_size"
            f" {geometry.vocab_size}; correct either"
        )
    if geometry.max_seq_len < 1:
        raise CheckpointError(f"{where}: max_position_embeddings leaves no room for a token")
    return geometry


def architectures(config: Mapping[str, Any]) -> list[str]:
    """Return the architectures that a `config.json` names."""
    named = config.get("architectures")
    return [str(name) for name in named] if isinstance(named, list) else []


def _check(name: str, value: Any, where: str, *, lowest: int) -> None:
    if name == "hidden_act":
        good = isinstance(value, str)
    elif name == "layer_norm_eps":
        good = type(value) in (int, float) and value > 0
    else:
        good = type(value) is int and lowest <= value < 1 << 31
    if not good:
        raise CheckpointError(f"{where}: {name} can't be {value!r}")
