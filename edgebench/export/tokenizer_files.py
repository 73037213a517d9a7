"""Tokenizer files: which files of a folder decide how its tokenizer encodes, and their hash.

The names are those that the tokenizers of transformers have in `vocab_files_names`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from edgebench.artifact import hash_file

#: The file of a fast tokenizer, which decides everything.
FAST = "tokenizer.json"
#: Files that a tokenizer is read from, in order of preference.
TOKENIZER_FILES = (
    FAST,
    "sentencepiece.bpe.model",
    "spm.model",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.model",
)
#: What else decides how a tokenizer without tokenizer.json encodes.
_SETTINGS = (
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "bpe.codes",
    "dict.txt",
    "emoji.json",
    "entity_vocab.json",
    "normalizer.json",
    "word_pronunciation.json",
    "word_shape.json",
)
#: Every file of a tokenizer, to download or to copy.
ALL_TOKENIZER_FILES = (*TOKENIZER_FILES, *_SETTINGS)


def has_tokenizer(folder: Path) -> bool:
    """Return whether a folder has a tokenizer."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def deciding_files(folder: Path) -> list[Path]:
    """Return the files that decide how the tokenizer in a folder encodes; empty: there is no tokenizer."""
    if not has_tokenizer(folder):
        return []
    found = [folder / name for name in ALL_TOKENIZER_FILES if (folder / name).is_file()]
    return found[:1] if found[0].name == FAST else found


def hash_tokenizer(folder: Path, hash_one: Callable[[Path], str] = hash_file) -> str | None:
    """Return the hash of all files that decide how the tokenizer in a folder encodes; None: there is no tokenizer.

    Raises:
        StoreError: a file can't be read.
    """
    found = deciding_files(folder)
    if not found or found[0].name == FAST:
        return hash_one(found[0]) if found else None
    listing = "".join(f"{hash_one(path)}  {path.name}\n" for path in found)
    return hashlib.sha256(listing.encode()).hexdigest()
