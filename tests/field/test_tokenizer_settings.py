"""A tokenizer.json beside a tokenizer_config.json that asks for other tokens: refused where texts are encoded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgebench.artifact import Artifact, Format
from edgebench.errors import ConfigError
from edgebench.export.tokens import encode_texts, open_tokenizer
from tests.needed import need

need("tokenizers")


def write_wordpiece(folder: Path, *, lowercase: bool, settings: dict[str, Any], added: dict[str, int] | None) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocab = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4, "A": 5}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    if added is not None:
        (folder / "added_tokens.json").write_text(json.dumps(added))


def artifact_with(folder: Path) -> Artifact:
    return Artifact(format=Format.ONNX_FP32, files=(), path=folder, tokenizer=str(folder), pad_token_id=0)


BERT = {"tokenizer_class": "BertTokenizer"}


@pytest.mark.parametrize(
    ("lowercase", "settings", "added", "words"),
    [
        (False, BERT | {"do_lower_case": True}, None, "do_lower_case is true, and its normalizer has lowercase False"),
        (True, {"do_lower_case": False}, None, "do_lower_case is false"),
        (True, BERT | {"strip_accents": False}, None, "strip_accents is false"),
        (False, BERT | {"tokenize_chinese_chars": False}, None, "tokenize_chinese_chars is false"),
        (False, BERT | {"added_tokens_decoder": {"6": {"content": "<x>"}}}, None, "the added token '<x>'"),
        (False, {}, {"<x>": 6}, "the added token '<x>' is not in tokenizer.json"),
    ],
)
def test_settings_that_transformers_applies_may_not_contradict_the_tokenizer(
    lowercase: bool, settings: dict[str, Any], added: dict[str, int] | None, words: str, tmp_path: Path
) -> None:
    write_wordpiece(tmp_path, lowercase=lowercase, settings=settings, added=added)
    for use in (open_tokenizer, lambda artifact: encode_texts(artifact, ["a A"])):
        with pytest.raises(ConfigError) as refused:
            use(artifact_with(tmp_path))
        assert words in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("lowercase", "settings"),
    [
        (False, BERT | {"do_lower_case": False, "strip_accents": None}),
        (True, BERT | {"do_lower_case": True, "strip_accents": True}),
        (False, BERT),
        (False, {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": True}),
        (False, {"tokenizer_class": "XLMRobertaTokenizer", "do_lower_case": True}),
        (True, {"added_tokens_decoder": {"3": {"content": "[SEP]"}, "9": {"content": "a"}}}),
    ],
)
def test_settings_that_say_the_same_or_are_not_applied_are_taken(
    lowercase: bool, settings: dict[str, Any], tmp_path: Path
) -> None:
    write_wordpiece(tmp_path, lowercase=lowercase, settings=settings, added=None)
    open_tokenizer(artifact_with(tmp_path))
    assert list(encode_texts(artifact_with(tmp_path), ["a A"]).ids) == ([4, 4] if lowercase else [4, 5])


def test_a_space_before_the_first_word_is_such_a_setting(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocab = {letter: at for at, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    settings = {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match="add_prefix_space is true, and its pre_tokenizer has the opposite"):
        open_tokenizer(artifact_with(tmp_path))
