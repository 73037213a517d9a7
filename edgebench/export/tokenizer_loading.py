"""Tokenizer loading: the tokenizer in a folder, fast (of the tokenizers library) or slow (transformers' Python).

A folder with tokenizer.json needs no transformers, whose import takes seconds. Some tokenizers (PhoBERT's, BERT's for
Japanese) exist in Python only: they encode texts, and can't tell which characters a token stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.errors import CheckpointError, ConfigError, MissingExtra
from edgebench.export.folder_files import refuse_foreign_files
from edgebench.export.placeholders import describe_placeholder
from edgebench.export.tokenizer_checks import Vocabulary, refuse_broken_files
from edgebench.export.tokenizer_files import FAST
from edgebench.export.tokenizer_limits import refuse_unbounded

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_NEEDED_FOR = "encoding texts"


def encode_with(tokenizer: str, texts: Sequence[str], *, opened: Tokenizer | None = None) -> list[list[int]]:
    """Return the token ids of each text, special tokens included, using the tokenizer in a folder.

    Args:
        opened: that tokenizer, if `open_fast` has read it before: a large vocabulary takes a second.

    Raises:
        CheckpointError: the tokenizer can't be read.
        MissingExtra: its library is not installed.
    """
    fast = opened or open_fast(Path(tokenizer))
    if fast is not None:
        try:
            return [encoding.ids for encoding in fast.encode_batch(list(texts))]
        except BaseException as error:
            if type(error) is not Exception and type(error).__name__ != "PanicException":  # as the library raises them
                raise
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{Path(tokenizer) / FAST} can't encode a text: {reason}") from error
    slow = _open_with_transformers(Path(tokenizer))
    if getattr(slow, "backend_tokenizer", None) is not None:
        refuse_unbounded(slow.backend_tokenizer, tokenizer)
    try:
        encoded: list[list[int]] = slow(list(texts), truncation=False, padding=False)["input_ids"]
    except Exception as error:
        raise _unusable(tokenizer, error) from error
    return encoded


def load_tokenizer(folder: str) -> Tokenizer:
    """Return the fast tokenizer in a folder, without truncation and padding.

    Raises:
        ConfigError: it exists in Python only.
        CheckpointError: it can't be read.
        MissingExtra: its library is not installed.
    """
    try:
        import tokenizers
    except ImportError as error:
        raise MissingExtra(error.name or "tokenizers", "export", _NEEDED_FOR) from error
    found = _open(Path(folder))
    if not isinstance(found, tokenizers.Tokenizer):
        raise ConfigError(
            f"{folder}: its tokenizer ({type(found).__name__}) exists in Python only, and can't tell which characters a"
            " token stands for, as examples need",
            hint="texts can be profiled; for scores, save a tokenizer.json if one can be made",
        )
    return found


def load_vocabulary(folder: str) -> Vocabulary | None:
    """Return the vocabulary of the tokenizer in a folder, fast or slow; None: it does not give it.

    Raises:
        CheckpointError: it can't be read.
        MissingExtra: its library is not installed.
    """
    return vocabulary_of(_open(Path(folder)), folder)


def vocabulary_of(found: Any, folder: str) -> Vocabulary | None:
    """Return the vocabulary of an opened tokenizer; see `load_vocabulary`."""
    import tokenizers

    try:
        if isinstance(found, tokenizers.Tokenizer):
            return Vocabulary(ids=found.get_vocab(with_added_tokens=True), added=set(found.get_added_tokens_decoder()))
        return Vocabulary(ids=found.get_vocab(), added=set(found.added_tokens_decoder))
    except (NotImplementedError, AttributeError):  # of a class that has no list of its tokens
        return None
    except Exception as error:
        raise _unusable(folder, error) from error


def _open(folder: Path) -> Any:
    """Return a Tokenizer where there is one, else the slow tokenizer of transformers."""
    fast = open_fast(folder)
    if fast is not None:
        return fast
    found = _open_with_transformers(folder)
    backend = getattr(found, "backend_tokenizer", None)
    if backend is None:
        return found
    refuse_unbounded(backend, str(folder))
    return _without_batching(backend)


def open_fast(folder: Path) -> Tokenizer | None:
    """Return the tokenizer in a folder's tokenizer.json; None: there is no such file.

    Raises:
        CheckpointError: it can't be read.
        MissingExtra: its library is not installed.
    """
    path = folder / FAST
    refuse_foreign_files(folder)
    if not path.is_file():
        return None
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtra(error.name or "tokenizers", "export", _NEEDED_FOR) from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises nothing narrower
        if (placeholder := describe_placeholder(path)) is not None:
            kind, hint = placeholder
            raise CheckpointError(f"{path} is {kind}, not the tokenizer", hint=hint) from error
        raise CheckpointError(f"{path} can't be read as a tokenizer: {' '.join(str(error).split())[:200]}") from error
    refuse_unbounded(tokenizer, str(folder))
    return _without_batching(tokenizer)


def _open_with_transformers(folder: Path) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingExtra(error.name or "transformers", "export", _NEEDED_FOR) from error
    refuse_broken_files(folder)
    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:
        raise _unusable(str(folder), error) from error


def _without_batching(tokenizer: Tokenizer) -> Tokenizer:
    """Remove the truncation and padding of a training; batches are padded on the board."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _unusable(folder: str, error: Exception) -> CheckpointError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return CheckpointError(f"{folder}: its tokenizer can't be used: {reason}")
