"""Tiny XLM-R checkpoints, made by transformers itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
    "type_vocab_size": 1,
    "num_labels": 3,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
MAX_SEQ_LEN = 64
BUCKETS = (16, 64)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """XLMRobertaForSequenceClassification in one safetensors file, with lineage; no tokenizer."""
    folder = tmp_path_factory.mktemp("checkpoints") / "xnli-multi"
    build("XLMRobertaForSequenceClassification").save_pretrained(folder)
    lineage = {
        "base": "xlm-roberta-base",
        "intermediate": [{"name": "xnli", "kind": "multilingual", "languages": ["en", "sw"]}],
        "target": "xcopa",
        "seed": 3,
    }
    (folder / "lineage.json").write_text(json.dumps(lineage))
    return folder


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """XLMRobertaModel in several safetensors files, with a tokenizer."""
    folder = tmp_path_factory.mktemp("checkpoints") / "sentence-encoder"
    build("XLMRobertaModel").save_pretrained(folder, max_shard_size="20KB")
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose outputs depend on position and padding, with a tokenizer."""
    folder = tmp_path_factory.mktemp("checkpoints") / "tagger"
    build("XLMRobertaForTokenClassification").save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def build(architecture: str, **sizes: Any) -> Any:
    """Return a model of transformers with seeded weights that are larger than a fresh one's: outputs differ."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.XLMRobertaConfig(**{**SIZES, **sizes})
    model = getattr(transformers, architecture)(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                parameter.mul_(4)
            elif "LayerNorm" not in name:
                parameter.normal_(0, 0.1)
    return model.eval()


def write_tokenizer(folder: Path) -> None:
    """Write a tokenizer.json of single characters, framed by <s> and </s>, that would cut texts at 8 tokens."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    vocab = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3} | {chr(97 + i): 4 + i for i in range(26)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(pad_id=1, pad_token="<pad>")
    tokenizer.save(str(folder / "tokenizer.json"))
