"""Languages: what is shipped of each, to keep its part of a vocabulary (data/languages.json names the sources)."""

from __future__ import annotations

import base64
import hashlib
import json
import lzma
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

#: The pieces by which XLM-R's vocabulary is recognised: all before <mask>.
_XLM_R_PIECES = 250_001


@dataclass(frozen=True, slots=True)
class Letters:
    """The letters of one or several languages, in ranges of code points."""

    ranges: tuple[range, ...]

    def write(self, text: str) -> bool:
        """Return whether all letters and marks of a text are among them; other characters don't count."""
        return all(self._has(character) for character in text if is_letter(character))

    def _has(self, character: str) -> bool:
        if any(ord(character) in each for each in self.ranges):
            return True
        parts = unicodedata.normalize("NFD", character)
        return parts != character and all(any(ord(part) in each for each in self.ranges) for part in parts)


def is_letter(character: str) -> bool:
    """Return whether a character is a letter, or a mark that belongs to one."""
    return character.isalpha() or unicodedata.category(character)[0] == "M"


def known_languages() -> tuple[str, ...]:
    """Return the codes of the languages that are shipped, sorted."""
    return tuple(sorted(_shipped()["letters"]))


def letters_of(language: str) -> Letters:
    """Return the letters of a known language."""
    bounds = [part.split("-") for part in _shipped()["letters"][language].split()]
    return Letters(tuple(range(int(each[0], 16), int(each[-1], 16) + 1) for each in bounds))


def samples_of(language: str) -> tuple[str, ...]:
    """Return short texts of a language, by which no piece was chosen; empty: none are shipped."""
    return tuple(_shipped()["samples"].get(language, ()))


def frequent_pieces(language: str, pieces: Sequence[str]) -> frozenset[int] | None:
    """Return the ids of the pieces that a language's frequent words consist of.

    Args:
        pieces: the vocabulary, by id.

    Returns:
        None: they are not known for this vocabulary, or not for this language.
    """
    packed = _shipped()["pieces"].get(language)
    if packed is None or not _is_xlm_r(tuple(pieces[:_XLM_R_PIECES])):
        return None
    bits = lzma.decompress(base64.b64decode(packed))
    return frozenset(at * 8 + bit for at, byte in enumerate(bits) for bit in range(8) if byte >> bit & 1)


@cache
def _is_xlm_r(pieces: tuple[str, ...]) -> bool:
    return hashlib.sha256("\n".join(pieces).encode()).hexdigest() == str(_shipped()["vocabulary"])


@cache
def _shipped() -> dict[str, Any]:
    text = resources.files("edgebench").joinpath("data/languages.json").read_text(encoding="utf-8")
    shipped: dict[str, Any] = json.loads(text)
    return shipped


@cache
def shipped_sha256() -> str:
    """Return the hash of what is shipped of all languages."""
    return hashlib.sha256(resources.files("edgebench").joinpath("data/languages.json").read_bytes()).hexdigest()
