"""Whether a tokenizer fits its checkpoint and its files can be read, checked before a text needs it."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from edgebench.errors import CheckpointError, MissingExtra
from edgebench.export.config_checks import refuse_remote_code
from edgebench.export.json_files import read_json_value
from edgebench.export.placeholders import describe_placeholder


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The ids of a tokenizer's tokens; `added`: the ids of those that were added to its model."""

    ids: Mapping[str, int]
    added: Set[int]


def refuse_broken_files(folder: Path) -> None:
    """Refuse tokenizer files whose error transformers would report as something else.

    Raises:
        CheckpointError: the sentencepiece model can't be read, or the tokenizer is code of the checkpoint.
        MissingExtra: sentencepiece is not installed.
    """
    config = folder / "tokenizer_config.json"
    if config.is_file():
        values = read_json_value(config)
        refuse_remote_code(values if isinstance(values, dict) else {}, config)
    for model in sorted(folder.glob("*.model")):
        _refuse_broken_model(model)


def _refuse_broken_model(path: Path) -> None:
    if (placeholder := describe_placeholder(path)) is not None:
        kind, hint = placeholder
        raise CheckpointError(f"{path} is {kind}, not the tokenizer", hint=hint)
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError as error:
        raise MissingExtra("sentencepiece", "export", f"reading {path.name}") from error
    try:
        SentencePieceProcessor(model_file=str(path))
    except Exception as error:  # of the library, of several kinds
        reason = " ".join(str(error).split())[-120:] or type(error).__name__
        raise CheckpointError(
            f"{path} can't be read as a sentencepiece model ({reason})", hint="try to download it again"
        ) from error


def describe_misfit(vocabulary: Vocabulary, folder: str, embeddings: int) -> str | None:
    """Return how a tokenizer goes beyond a model's embeddings, in one line; None if it does not."""
    beyond = sorted((id, token) for token, id in vocabulary.ids.items() if id >= embeddings)
    if not beyond:
        return None
    if all(id in vocabulary.added for id, _ in beyond):
        named = ", ".join(f"{token!r} (id {id})" for id, token in beyond[:3]) + (" ..." if len(beyond) > 3 else "")
        return (
            f"the tokenizer in {folder} has {len(beyond)} added token{'s' * (len(beyond) > 1)} beyond the model's"
            f" {embeddings} embeddings: {named}; call model.resize_token_embeddings(len(tokenizer)) where it was"
            " trained, or remove what is too much from the tokenizer"
        )
    return (
        f"the tokenizer in {folder} has {len(vocabulary.ids)} pieces and the model {embeddings} embeddings: it belongs"
        " to another checkpoint; put the model's own there"
    )
