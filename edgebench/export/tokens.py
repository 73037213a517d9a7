"""Tokens: encodes texts with the tokenizer of the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.artifact import Artifact
from edgebench.errors import CheckpointError, ConfigError
from edgebench.export.tokenizer_checks import Vocabulary, describe_misfit
from edgebench.export.tokenizer_files import hash_tokenizer
from edgebench.export.tokenizer_loading import encode_with, load_tokenizer, load_vocabulary, open_fast, vocabulary_of
from edgebench.export.tokenizer_settings import refuse_contradictions
from edgebench.workload import EncodedInputs

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_MOST_IDS = 1 << 31  # ids are sent as 32 bits with a sign


def encode_texts(
    artifact: Artifact, texts: Sequence[str], *, prefix: str = "", truncate: bool = False
) -> EncodedInputs:
    """Return the token ids of texts, special tokens included.

    Args:
        prefix: put before each text, as some sentence encoders require ("query: ").
        truncate: cut texts that are longer than the artifact takes; the last special token is kept.

    Raises:
        ConfigError: the artifact has no tokenizer, there are no texts, or some are longer than the artifact takes.
        CheckpointError: the tokenizer can't be read.
        MissingExtra: the tokenizer's library is not installed.
    """
    import numpy as np

    if artifact.tokenizer is None:
        raise ConfigError(f"{artifact.model_path} has no tokenizer: texts can't be encoded; try `seq_len` or `lang`")
    if not texts:
        raise ConfigError("there are no texts to encode")
    fast = open_fast(Path(artifact.tokenizer))
    if fast is not None:
        refuse_contradictions(fast, Path(artifact.tokenizer))
    encoded = encode_with(artifact.tokenizer, [prefix + text for text in texts], opened=fast)
    refuse_changed_tokenizer(artifact)
    lengths = [len(ids) for ids in encoded]
    limit = artifact.max_seq_len
    truncated = 0
    if truncate and limit is not None:
        truncated = sum(length > limit for length in lengths)
        encoded = [ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]] for ids in encoded]
        lengths = [len(ids) for ids in encoded]
    _refuse_ids(encoded, artifact.tokenizer, artifact.vocab_size or _MOST_IDS)
    if limit is not None:
        refuse_long(lengths, limit, buckets=artifact.buckets)
    ids = np.concatenate([np.array(ids, np.int32) for ids in encoded])
    return EncodedInputs(ids, np.array(lengths, np.int32), truncated)


def _refuse_ids(encoded: Sequence[Sequence[int]], tokenizer: str, embeddings: int) -> None:
    """Raise ConfigError if an id has no embedding; the message names the token."""
    if max((max(ids, default=0) for ids in encoded), default=0) < embeddings:
        return
    number = next(at for at, ids in enumerate(encoded, start=1) if max(ids, default=0) >= embeddings)
    misfit = (
        _misfit(load_vocabulary(tokenizer), tokenizer, embeddings)
        or f"{tokenizer} has more tokens than the model's {embeddings} embeddings"
    )
    raise ConfigError(f"text {number} has a token beyond the model's embeddings: {misfit}")


def _misfit(vocabulary: Vocabulary | None, tokenizer: str, embeddings: int) -> str | None:
    return None if vocabulary is None else describe_misfit(vocabulary, tokenizer, embeddings)


def check_tokenizer(tokenizer: str | None, embeddings: int, *, opened: Tokenizer | None = None) -> None:
    """Refuse a tokenizer that gives ids which the model has no embedding for. None: there is no tokenizer to check.

    Args:
        opened: that tokenizer, if `open_fast` has read it before.

    Raises:
        CheckpointError: it does so, or can't be read.
        MissingExtra: its library is not installed.
    """
    if tokenizer is None:
        return
    vocabulary = load_vocabulary(tokenizer) if opened is None else vocabulary_of(opened, tokenizer)
    misfit = _misfit(vocabulary, tokenizer, embeddings)
    if misfit is not None:
        raise CheckpointError(misfit)


def refuse_long(lengths: Sequence[int], limit: int, *, buckets: Sequence[int] = ()) -> None:
    """Raise ConfigError if some texts are longer than a model or its file takes.

    Args:
        lengths: of the texts, in tokens.
        limit: the longest input, in tokens.
        buckets: of a .tflite file, else empty.
    """
    long = [position for position, length in enumerate(lengths) if length > limit]
    if long:
        what = "the longest that the file is made for" if buckets else "what the model takes"
        raise ConfigError(
            f"{len(long)} of {len(lengths)} texts are longer than {limit} tokens, {what}"
            f" (first: number {long[0] + 1}; longest: {max(lengths)} tokens); shorten them or try `truncate=True`"
        )


def open_tokenizer(artifact: Artifact) -> Tokenizer:
    """Return the tokenizer of the checkpoint that an artifact was made from, without truncation and padding.

    Raises:
        ConfigError: the artifact has no tokenizer, or one in Python only, or it belongs to another checkpoint (more
            tokens than the model has embeddings, or another padding token).
        CheckpointError: the tokenizer can't be read.
        MissingExtra: its library is not installed.
    """
    if artifact.tokenizer is None:
        raise ConfigError(
            f"{artifact.model_path} has no tokenizer, and examples are encoded with the checkpoint's own; "
            f"try the checkpoint's folder as the model"
        )
    tokenizer = load_tokenizer(artifact.tokenizer)
    refuse_contradictions(tokenizer, Path(artifact.tokenizer))
    pad = pad_of(tokenizer)
    misfit = _misfit(vocabulary_of(tokenizer, artifact.tokenizer), artifact.tokenizer, artifact.vocab_size or _MOST_IDS)
    if misfit is not None:
        raise ConfigError(misfit)
    if pad not in (None, artifact.pad_token_id):
        raise ConfigError(
            f"the tokenizer in {artifact.tokenizer} pads with {pad} and the model with {artifact.pad_token_id}: "
            f"it belongs to another checkpoint; put the model's own there"
        )
    refuse_changed_tokenizer(artifact)
    return tokenizer


def pad_of(tokenizer: Tokenizer) -> int | None:
    """Return the id of the padding token, by the names that it has in the supported families."""
    found = (tokenizer.token_to_id(name) for name in ("<pad>", "[PAD]"))
    return next((id for id in found if id is not None), None)


def refuse_changed_tokenizer(artifact: Artifact) -> None:
    """Raise ConfigError if the tokenizer is not the one that the artifact was made with."""
    if artifact.tokenizer is None or artifact.tokenizer_sha256 is None:
        return
    if hash_tokenizer(Path(artifact.tokenizer)) != artifact.tokenizer_sha256:
        raise ConfigError(
            f"the tokenizer in {artifact.tokenizer} has changed since {artifact.model_path} was made with it",
            hint="export the checkpoint again, or put the tokenizer of then back",
        )
