"""Geometry: the sizes of an XLM-R model, i.e. the part of its config that determines the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from edgebench.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import XLMRobertaConfig

#: The only position embedding that the exported graph computes correctly; transformers dropped the others.
_POSITIONS = "absolute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Sizes, with the names and defaults of XLMRobertaConfig."""

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

    @property
    def max_seq_len(self) -> int:
        """The longest input in tokens. Positions start at pad_token_id + 1."""
        return self.max_position_embeddings - self.pad_token_id - 1

    def config(self) -> XLMRobertaConfig:
        """Return the transformers config, with eager attention, which gives the smallest graph."""
        from transformers import XLMRobertaConfig

        return XLMRobertaConfig(**asdict(self), attn_implementation="eager")  # type: ignore[call-arg]


def geometry_from_config(config: Mapping[str, Any], *, where: str) -> Geometry:
    """Return the geometry that a `config.json` describes.

    Raises:
        CheckpointError: it is not an XLM-R model, or a size is invalid.
    """
    model_type = config.get("model_type")
    if model_type != "xlm-roberta":
        named = ", ".join(architectures(config)) or "none named"
        raise CheckpointError(
            f"{where} is not an XLM-R checkpoint: model_type is {model_type!r} (architectures: {named})"
        )
    if config.get("position_embedding_type", _POSITIONS) != _POSITIONS:
        raise CheckpointError(
            f"{where}: position_embedding_type {config['position_embedding_type']!r} is not supported"
        )
    values = {field.name: config[field.name] for field in fields(Geometry) if config.get(field.name) is not None}
    labels = config.get("id2label")
    if isinstance(labels, dict) and labels:
        values["num_labels"] = len(labels)
    for field in fields(Geometry):
        if field.name in values:
            _check(field.name, values[field.name], where)
    geometry = Geometry(**values)
    if geometry.hidden_size % geometry.num_attention_heads:
        raise CheckpointError(f"{where}: hidden_size is not a multiple of num_attention_heads")
    if geometry.max_seq_len < 1:
        raise CheckpointError(f"{where}: max_position_embeddings leaves no room for a token")
    return geometry


def architectures(config: Mapping[str, Any]) -> list[str]:
    """Return the architectures that a `config.json` names."""
    named = config.get("architectures")
    return [str(name) for name in named] if isinstance(named, list) else []


def _check(name: str, value: Any, where: str) -> None:
    if name == "hidden_act":
        good = isinstance(value, str)
    elif name == "layer_norm_eps":
        good = type(value) in (int, float) and value > 0
    else:
        lowest = 0 if name == "pad_token_id" else 1
        good = type(value) is int and lowest <= value < 1 << 31
    if not good:
        raise CheckpointError(f"{where}: {name} can't be {value!r}")
