"""Segments: which tokens of a pair of texts belong to the second text, for the models that are told (BERT, ELECTRA).

Such a tokenizer writes `[CLS] first [SEP] second [SEP]`, with token types 0 up to the first separator and 1 after it.
An exported file takes no token types: it finds them by the separator.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.reading import parse_json, read_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TYPES = "token_type_ids"


def find_separator(folder: Path) -> int | None:
    """Return the id of the token after which a tokenizer's second segment begins; None: it makes only one segment.

    A tokenizer that can't be read makes one segment here; what encodes with it says what is wrong.
    """
    settings = _read(folder / "tokenizer_config.json")
    names = settings.get("model_input_names")
    if (isinstance(names, list) and _TYPES not in names) or "Roberta" in str(settings.get("tokenizer_class")):
        return None
    if (folder / "tokenizer.json").is_file():
        found = (_separator_of(each) for each in _processors(_read(folder / "tokenizer.json").get("post_processor")))
        return next((id for id in found if id is not None), None)
    try:
        pieces = read_text(folder / "vocab.txt", within=folder).split("\n")
        return pieces.index("[SEP]")
    except (OSError, ValueError):
        return None


def segments_of(ids: NDArray[np.int64], separator: int) -> NDArray[np.int64]:
    """Return the token types of sequences: 0 up to the first separator, 1 after it.

    Args:
        ids: shape (..., tokens).
    """
    is_separator = (ids == separator).astype(ids.dtype)
    types: NDArray[np.int64] = ((is_separator.cumsum(axis=-1) - is_separator) > 0).astype(ids.dtype)
    return types


def _processors(processor: Any) -> Iterator[dict[str, Any]]:
    if isinstance(processor, dict):
        yield processor
        inner = processor.get("processors")
        for each in inner if isinstance(inner, list) else ():
            yield from _processors(each)


def _separator_of(processor: dict[str, Any]) -> int | None:
    """Return the separator of a tokenizer's processor, if it gives the second text another type."""
    try:
        if processor["type"] == "BertProcessing":
            return int(processor["sep"][1])
        if processor["type"] != "TemplateProcessing":
            return None
        pair = processor["pair"]
        at = next(i for i, piece in enumerate(pair) if piece.get("Sequence", {}).get("id") == "B")
        if pair[at]["Sequence"]["type_id"] != 1:
            return None
        return int(processor["special_tokens"][pair[at - 1]["SpecialToken"]["id"]]["ids"][0])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, StopIteration):
        return None


def _read(path: Path) -> dict[str, Any]:
    try:
        values = parse_json(read_text(path, within=path.parent))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
