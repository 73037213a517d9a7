"""Families: the architectures of encoders that can be exported, one row each. A new one is a row here and in the tests.

A family is what transformers calls a model type. The rows say only what config.json and the class names do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgebench.errors import CheckpointError

#: Sizes of the config classes that most families have in common.
_BERT_SIZES: Mapping[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "pad_token_id": 0,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}
_ROBERTA_SIZES = {**_BERT_SIZES, "pad_token_id": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """An architecture.

    Attributes:
        model_type: as in config.json.
        classes: prefix of its classes in transformers: `Bert` for BertConfig, BertModel, BertForMaskedLM.
        encoder: the encoder's name in a model with a head, which is also the prefix of its weights.
        defaults: sizes that config.json leaves out, by their names in XLMRobertaConfig.
        names: sizes with another name in config.json, by their names in XLMRobertaConfig.
        positions_after_padding: positions are counted from pad_token_id + 1, not from 0.
        mask_is_added: the encoder takes a mask that is added to attention scores; else one of ones and zeros.
        has_pooler: the encoder's class takes `add_pooling_layer`.
        classifier: the weight of sequence classification that has a row for each label.
        tied: parameters of masked language models with two names, without the encoder's prefix.
        down_projection: name of a layer's second feed-forward matrix, after the layer's number.
    """

    model_type: str
    classes: str
    encoder: str
    defaults: Mapping[str, Any] = field(default_factory=lambda: _BERT_SIZES)
    names: Mapping[str, str] = field(default_factory=dict)
    positions_after_padding: bool = False
    mask_is_added: bool = True
    has_pooler: bool = False
    classifier: str = "classifier.weight"
    tied: Mapping[str, str] = field(default_factory=dict)
    down_projection: str = "output.dense"

    def size(self, config: Mapping[str, Any], name: str) -> Any:
        """Return an entry of a config.json, unchecked; the family's default if it is left out.

        Args:
            name: as in XLMRobertaConfig.
        """
        keys = sorted({name, self.names.get(name, name)})
        return next((config[key] for key in keys if config.get(key) is not None), self.defaults[name])


_WORDS = "embeddings.word_embeddings.weight"
_LM_HEAD = {"lm_head.decoder.bias": "lm_head.bias", "lm_head.decoder.weight": _WORDS}
_CLS_HEAD = {"cls.predictions.decoder.bias": "cls.predictions.bias", "cls.predictions.decoder.weight": _WORDS}


def _roberta(model_type: str, classes: str, defaults: Mapping[str, Any] = _ROBERTA_SIZES) -> Family:
    return Family(
        model_type=model_type,
        classes=classes,
        encoder="roberta",
        defaults=defaults,
        positions_after_padding=True,
        has_pooler=True,
        classifier="classifier.out_proj.weight",
        tied=_LM_HEAD,
    )


FAMILIES = {
    family.model_type: family
    for family in (
        _roberta("xlm-roberta", "XLMRoberta"),
        _roberta("roberta", "Roberta"),
        _roberta(
            "xlm-roberta-xl",
            "XLMRobertaXL",
            {
                **_ROBERTA_SIZES,
                "vocab_size": 250880,
                "hidden_size": 2560,
                "num_hidden_layers": 36,
                "num_attention_heads": 32,
                "intermediate_size": 10240,
                "max_position_embeddings": 514,
                "type_vocab_size": 1,
                "layer_norm_eps": 1e-5,
            },
        ),
        Family(model_type="bert", classes="Bert", encoder="bert", has_pooler=True, tied=_CLS_HEAD),
        Family(
            model_type="distilbert",
            classes="DistilBert",
            encoder="distilbert",
            defaults={**_BERT_SIZES, "num_hidden_layers": 6, "type_vocab_size": 1},
            names={
                "hidden_size": "dim",
                "num_hidden_layers": "n_layers",
                "num_attention_heads": "n_heads",
                "intermediate_size": "hidden_dim",
                "hidden_act": "activation",
            },
            tied={"vocab_projector.weight": _WORDS},
            down_projection="ffn.lin2",
        ),
        Family(
            model_type="electra",
            classes="Electra",
            encoder="electra",
            defaults={**_BERT_SIZES, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024},
            classifier="classifier.out_proj.weight",
            tied={"generator_lm_head.weight": _WORDS},
        ),
        Family(
            model_type="deberta-v2",
            classes="DebertaV2",
            encoder="deberta",
            defaults={
                **_BERT_SIZES,
                "vocab_size": 128100,
                "hidden_size": 1536,
                "num_hidden_layers": 24,
                "num_attention_heads": 24,
                "intermediate_size": 6144,
                "type_vocab_size": 0,
                "layer_norm_eps": 1e-7,
            },
            mask_is_added=False,
            tied=_CLS_HEAD,
        ),
    )
}

XLM_R = FAMILIES["xlm-roberta"]
#: Names that families without a row here give to the hidden size.
_HIDDEN_SIZES = ("hidden_size", "dim", "d_model")


def known_size(config: Mapping[str, Any], name: str, *, least: int = 1) -> int | None:
    """Return a size in a config.json of any family; None: it is not there, or invalid.

    Args:
        name: as in XLMRobertaConfig.
    """
    if (family := FAMILIES.get(str(config.get("model_type")))) is not None:
        value = family.size(config, name)
    else:
        names = _HIDDEN_SIZES if name == "hidden_size" else (name,)
        value = next((config[key] for key in names if config.get(key) is not None), None)
    return value if type(value) is int and value >= least else None


def find_family(config: Mapping[str, Any], *, where: str) -> Family:
    """Return the family that a `config.json` names.

    Raises:
        CheckpointError: its model_type is not supported.
    """
    model_type = config.get("model_type")
    if isinstance(model_type, str) and model_type in FAMILIES:
        return FAMILIES[model_type]
    named = config.get("architectures")
    classes = ", ".join(map(str, named)) if isinstance(named, list) and named else "none named"
    raise CheckpointError(
        f"{where} is of no supported architecture: model_type is {model_type!r} (architectures: {classes});"
        f" supported: {', '.join(FAMILIES)}"
    )
