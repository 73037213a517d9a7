"""Piece selection: which pieces of a vocabulary are kept for some languages and texts.

Kept in any case: tokens that were added to the model, its unknown token, bytes, single characters, and pieces without a
letter (digits and punctuation). For a language: the pieces that its frequent words consist of where they are known
for this vocabulary, else every piece that can be written in its letters. For texts: every piece that encodes them or
one of their words.

A segmentation does not change if all of its pieces stay. Unigram takes the path with the best score, WordPiece the
longest piece at each step, BPE the earliest merge: what loses against the chosen ones can be missing. Two conditions:
a Unigram's unknown characters are scored by its lowest score, so a piece of that score stays; and BPE reaches a piece
by merging shorter ones, so those stay with their merges.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgebench.errors import CheckpointError, ConfigError
from edgebench.export.languages import frequent_pieces, is_letter, known_languages, letters_of, samples_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Kinds of tokenizers' models for which the above holds.
KINDS = ("Unigram", "WordPiece", "BPE", "WordLevel")
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_SPACE = "\u2581"  # sentencepiece writes it for a space
_EACH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """What a trimmed vocabulary is for.

    Attributes:
        languages: codes such as `en`.
        texts: texts by language, or by another name where their language is not known.

    Raises:
        ConfigError: nothing is known of a language, and there is no text of it.
    """

    languages: tuple[str, ...] = ()
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [each for each in self.languages if each not in known_languages() and not self.texts.get(each)]
        if unknown:
            raise ConfigError(
                f"nothing is known of the language{'s' * (len(unknown) > 1)} {', '.join(map(repr, unknown))}, and there"
                f" is no text of {'them' if len(unknown) > 1 else 'it'}; known: {', '.join(known_languages())}",
                hint="name a file of texts with `keep_texts`",
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The languages, and the names of texts that are of none of them."""
        return tuple(dict.fromkeys([*self.languages, *self.texts]))


@dataclass(frozen=True, slots=True)
class Pieces:
    """The vocabulary of a tokenizer's model: `description` is the tokenizer's JSON, `ids` of the model's own pieces."""

    description: Mapping[str, Any]
    ids: Mapping[str, int]

    @property
    def kind(self) -> str:
        """The kind of the model, one of KINDS."""
        return str(self.description["model"]["type"])

    def core(self, piece: str) -> str:
        """Return what a piece stands for in a text, without marks of a word's beginning, middle or end."""
        model = self.description["model"]
        if self.is_byte_level:
            letters = _byte_letters()
            if all(letter in letters for letter in piece):
                return bytes(letters[letter] for letter in piece).decode("utf-8", errors="replace").strip()
        core = piece.replace(_SPACE, "")
        if self.kind in ("WordPiece", "BPE") and (prefix := model.get("continuing_subword_prefix")):
            core = core.removeprefix(prefix)
        if self.kind == "BPE" and (suffix := model.get("end_of_word_suffix")):
            core = core.removesuffix(suffix)
        return core

    @property
    def is_byte_level(self) -> bool:
        """Whether the letters of the pieces stand for bytes (GPT-2's encoding)."""
        return '"ByteLevel"' in "".join(
            f'"{part["type"]}"' for name in ("pre_tokenizer", "decoder") for part in _parts(self.description.get(name))
        )


def open_pieces(tokenizer: Tokenizer, description: Mapping[str, Any], *, where: str) -> Pieces:
    """Return the pieces of a tokenizer.

    Raises:
        CheckpointError: it is of a kind that can't be trimmed.
    """
    kind = description["model"].get("type")
    if kind not in KINDS:
        raise CheckpointError(f"{where}: its tokenizer is of the kind {kind}, and only {', '.join(KINDS)} are trimmed")
    return Pieces(description, tokenizer.get_vocab(with_added_tokens=False))


def select(tokenizer: Tokenizer, pieces: Pieces, keep: Keep) -> set[int]:
    """Return the ids of the model's own pieces to keep; tokens that were added are not among them."""
    kept = _always(pieces)
    by_id = _by_id(pieces)
    for language in keep.languages:
        if language in known_languages():
            kept |= _of_language(language, pieces, by_id)
    for texts in keep.texts.values():
        kept |= ids_of_texts(tokenizer, texts)
    kept &= set(pieces.ids.values())
    return _with_parts(kept, pieces, by_id) if pieces.kind == "BPE" else kept


def ids_of_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> set[int]:
    """Return the ids that texts, and their words alone, are encoded as."""
    words = sorted({word for text in texts for word in text.split()})
    return {id for each in tokenizer.encode_batch([*texts, *words], add_special_tokens=False) for id in each.ids}


def texts_to_compare(keep: Keep, name: str) -> tuple[str, ...]:
    """Return texts on which to compare segmentations: the samples of a language, else every second text given."""
    return samples_of(name) or tuple(keep.texts.get(name, ())[1::_EACH])


def without_compared(keep: Keep) -> Keep:
    """Return the same without the given texts that `texts_to_compare` returns."""
    texts = {name: given if samples_of(name) else given[::_EACH] for name, given in keep.texts.items()}
    return Keep(languages=keep.languages, texts=texts)


def _always(pieces: Pieces) -> set[int]:
    model = pieces.description["model"]
    kept = set()
    for piece, id in pieces.ids.items():
        core = pieces.core(piece)
        is_part_of_character = pieces.is_byte_level and "\ufffd" in core
        if len(core) <= 1 or is_part_of_character or _BYTE.fullmatch(piece) or not any(map(is_letter, core)):
            kept.add(id)
    if pieces.kind == "Unigram":
        lowest = min(score for _, score in model["vocab"])
        kept.add(next(id for id, (_, score) in enumerate(model["vocab"]) if score == lowest))
        kept |= {model["unk_id"]} - {None}
    elif model.get("unk_token") in pieces.ids:
        kept.add(pieces.ids[model["unk_token"]])
    return kept


def _of_language(language: str, pieces: Pieces, by_id: Sequence[str]) -> set[int]:
    frequent = frequent_pieces(language, by_id) if pieces.kind == "Unigram" else None
    if frequent is not None:
        return set(frequent)
    letters = letters_of(language)
    return {id for piece, id in pieces.ids.items() if letters.write(pieces.core(piece))}


def _by_id(pieces: Pieces) -> list[str]:
    by_id = [""] * (1 + max(pieces.ids.values(), default=-1))
    for piece, id in pieces.ids.items():
        by_id[id] = piece
    return by_id


def _with_parts(kept: set[int], pieces: Pieces, by_id: Sequence[str]) -> set[int]:
    """Return the ids with those of all pieces that BPE merges on the way to them."""
    parts: dict[str, list[str]] = defaultdict(list)
    for left, right, merged in merges_of(pieces.description["model"]):
        parts[merged] += [left, right]
    waiting, found = [by_id[id] for id in kept], set(kept)
    while waiting:
        for part in parts[waiting.pop()]:
            if (id := pieces.ids.get(part)) is not None and id not in found:
                found.add(id)
                waiting.append(part)
    return found


def merges_of(model: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield each merge of a BPE model in order: left, right and merged piece."""
    prefix = model.get("continuing_subword_prefix") or ""
    for merge in model["merges"]:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        yield left, right, left + right.removeprefix(prefix)


def _parts(component: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(component, dict):
        yield component
        for name in ("pretokenizers", "decoders"):
            inner: Iterable[Any] = component.get(name) or ()
            for each in inner:
                yield from _parts(each)


def _byte_letters() -> dict[str, int]:
    """Return the byte that each letter of a byte-level vocabulary stands for (GPT-2's table)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("\u00a1"), ord("\u00ac") + 1), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + at): byte for at, byte in enumerate(others)}
