"""Trimmed tokenizer: a tokenizer.json with fewer pieces, and how it segments words compared with the one before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgebench.artifact import Segmentation
from edgebench.errors import CheckpointError
from edgebench.export.piece_selection import KINDS, merges_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def renumbered(ids: Sequence[int]) -> dict[int, int]:
    """Return the new ids by the old ones: counted from 0 in the order given."""
    return {old: new for new, old in enumerate(ids)}


def trim_description(description: Mapping[str, Any], new: Mapping[int, int]) -> dict[str, Any]:
    """Return the JSON of a tokenizer with those pieces alone that have a new id.

    Args:
        description: the JSON of a tokenizer without truncation and padding.
        new: the new ids by the old ones, ascending; all added tokens have one.
    """
    trimmed: dict[str, Any] = json.loads(json.dumps(description))
    trimmed["model"] = _model(description["model"], new)
    for token in trimmed["added_tokens"]:
        token["id"] = new[token["id"]]
    _renumber_processor(trimmed.get("post_processor"), new)
    return trimmed


def _model(model: Mapping[str, Any], new: Mapping[int, int]) -> dict[str, Any]:
    if model["type"] == "Unigram":
        kept = [entry for id, entry in enumerate(model["vocab"]) if id in new]
        return {**model, "vocab": kept, "unk_id": new.get(model["unk_id"])}
    assert model["type"] in KINDS  # noqa: S101 - `open_pieces` refuses others
    vocab = {piece: new[id] for piece, id in model["vocab"].items() if id in new}
    if model["type"] != "BPE":
        return {**model, "vocab": vocab}
    merges = [
        merge
        for merge, parts in zip(model["merges"], merges_of(model), strict=True)
        if all(part in vocab for part in parts)
    ]
    return {**model, "vocab": vocab, "merges": merges}


def _renumber_processor(processor: Any, new: Mapping[int, int]) -> None:
    if not isinstance(processor, dict):
        return
    for each in processor.get("processors") or ():
        _renumber_processor(each, new)
    for name in ("sep", "cls"):  # of BertProcessing and RobertaProcessing: [token, id]
        if isinstance(processor.get(name), list):
            processor[name][1] = new[processor[name][1]]
    special = processor.get("special_tokens")
    for token in special.values() if isinstance(special, dict) else ():
        token["ids"] = [new[id] for id in token["ids"]]


def read_trimmed(description: Mapping[str, Any], new: Mapping[int, int], before: Tokenizer, *, where: str) -> Tokenizer:
    """Return the tokenizer of a trimmed description, of which every token has its new id.

    Raises:
        CheckpointError: it can't be read back, or numbers a token differently.
    """
    from tokenizers import Tokenizer

    try:
        trimmed = Tokenizer.from_str(json.dumps(description, ensure_ascii=False))
    except Exception as error:  # the tokenizers library raises nothing narrower
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{where}: its tokenizer can't be trimmed: {reason}") from error
    expected = {token: new[id] for token, id in before.get_vocab(with_added_tokens=True).items() if id in new}
    if trimmed.get_vocab(with_added_tokens=True) != expected:
        raise CheckpointError(f"{where}: its tokenizer can't be trimmed: its tokens would be numbered differently")
    return trimmed


def compare_segmentation(
    before: Tokenizer, after: Tokenizer, new: Mapping[int, int], name: str, texts: Sequence[str], *, sample: bool
) -> Segmentation:
    """Return how many running words of texts are segmented differently, or have an unknown part that they had not."""
    words = [word for text in texts for word in text.split()]
    different = unknown = 0
    unknown_id = _unknown_id(after)
    pairs = zip(*(each.encode_batch(words, add_special_tokens=False) for each in (before, after)), strict=True)
    for old, found in pairs:
        if [new.get(id) for id in old.ids] != found.ids:
            different += 1
            unknown += found.ids.count(unknown_id) > sum(new.get(id) == unknown_id for id in old.ids)
    return Segmentation(name=name, words=len(words), different=different, unknown=unknown, sample=sample)


def _unknown_id(tokenizer: Tokenizer) -> int:
    model = json.loads(tokenizer.to_str())["model"]
    if model["type"] == "Unigram":
        return -1 if model["unk_id"] is None else int(model["unk_id"])
    return int(model["vocab"].get(model.get("unk_token"), -1))
