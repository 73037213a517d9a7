"""Tokenizers that exist in Python only (PhoBERT's, BERT's for Japanese): checked, hashed and used as the others are."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from edgebench.artifact import Artifact, ArtifactFile, Format
from edgebench.errors import CheckpointError, ConfigError
from edgebench.export.tokenizer_files import ALL_TOKENIZER_FILES, TOKENIZER_FILES, hash_tokenizer
from edgebench.export.tokens import check_tokenizer, encode_texts, open_tokenizer
from tests.needed import need

need("torch", "transformers")
pytestmark = pytest.mark.export


def write_phobert(folder: Path) -> Path:
    """Write PhoBERT's two files: 4 special tokens, 6 pieces, and `<mask>` after them."""
    folder.mkdir()
    (folder / "vocab.txt").write_text("a 5\nb 4\na@@ 3\nb@@ 3\nab 2\nab@@ 1\n")
    (folder / "bpe.codes").write_text("a b</w> 2\na b 1\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PhobertTokenizer"}')
    return folder


def write_japanese(folder: Path) -> Path:
    """Write a BertJapaneseTokenizer of basic words and characters, which needs no dictionary."""
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "日", "本"]) + "\n")
    settings = '{"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "basic", '
    (folder / "tokenizer_config.json").write_text(settings + '"subword_tokenizer_type": "character"}')
    return folder


SLOW: list[Any] = [
    pytest.param(write_phobert, "ab a", [0, 8, 4, 2], 11, id="phobert"),
    pytest.param(write_japanese, "日本", [2, 5, 6, 3], 7, id="bert-japanese"),
]


def artifact_of(folder: Path, vocabulary: int, pad: int = 1) -> Artifact:
    return Artifact(
        format=Format.ONNX,
        files=(ArtifactFile(name="model.onnx", sha256="0" * 64, bytes=1),),
        path=folder,
        vocab_size=vocabulary,
        pad_token_id=pad,
        tokenizer=str(folder),
        tokenizer_sha256=hash_tokenizer(folder),
    )


@pytest.mark.parametrize(("make", "text", "expected", "size"), SLOW)
def test_a_tokenizer_in_python_is_checked_by_its_vocabulary_and_encodes(
    make: Any, text: str, expected: list[int], size: int, tmp_path: Path
) -> None:
    folder = make(tmp_path / "model")
    check_tokenizer(str(folder), size)
    with pytest.raises(CheckpointError, match=f"embeddings: .*({size - 1})|pieces and the model {size - 1} embeddings"):
        check_tokenizer(str(folder), size - 1)
    artifact = artifact_of(folder, size)
    assert encode_texts(artifact, [text]).ids.tolist() == expected
    with pytest.raises(ConfigError, match="text 1 has a token beyond the model's embeddings"):
        encode_texts(replace(artifact, vocab_size=max(expected)), [text])
    with pytest.raises(ConfigError, match=r"Tokenizer\) exists in Python only"):
        open_tokenizer(artifact)


@pytest.mark.parametrize("name", [name for name in ALL_TOKENIZER_FILES if name != "tokenizer.json"])
def test_every_file_of_a_tokenizer_without_tokenizer_json_is_hashed(name: str, tmp_path: Path) -> None:
    assert hash_tokenizer(tmp_path) is None
    (tmp_path / "vocab.txt").write_text("a")
    (tmp_path / name).write_text("before")
    before = hash_tokenizer(tmp_path)
    (tmp_path / name).write_text("after")
    assert hash_tokenizer(tmp_path) != before
    (tmp_path / "tokenizer.json").write_text("{}")  # which then decides alone
    fast = hash_tokenizer(tmp_path)
    (tmp_path / name).write_text("once more")
    assert hash_tokenizer(tmp_path) == fast


def test_the_files_that_the_tokenizers_of_supported_families_name_are_known() -> None:
    from transformers import (
        BertJapaneseTokenizer,
        BertTokenizer,
        BertweetTokenizer,
        PhobertTokenizer,
        XLMRobertaTokenizer,
    )

    for kind in (BertJapaneseTokenizer, BertTokenizer, BertweetTokenizer, PhobertTokenizer, XLMRobertaTokenizer):
        assert set(kind.vocab_files_names.values()) <= set(ALL_TOKENIZER_FILES), kind
    assert TOKENIZER_FILES[0] == "tokenizer.json"


def test_a_library_that_a_slow_tokenizer_needs_is_named(tmp_path: Path) -> None:
    if find_spec("rhoknp") is not None:
        pytest.skip("rhoknp is installed")
    folder = write_japanese(tmp_path / "model")
    config = folder / "tokenizer_config.json"
    config.write_text(config.read_text().replace('"basic"', '"jumanpp"'))
    with pytest.raises(CheckpointError, match=r"its tokenizer can't be used: .*rhoknp"):
        check_tokenizer(str(folder), 7)
