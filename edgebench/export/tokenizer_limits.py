"""Bounds of what a tokenizer makes of a text, checked before it gets one.

A tokenizer.json is a program: a normaliser may replace each letter by a million others, one after another, and its
template may repeat the text. The memory for that is taken in native code, where nothing can catch it, so the parts of
the tokenizer are judged by what they can do.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edgebench.errors import CheckpointError
from edgebench.reading import parse_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: How many times longer replacements may make a text, all together. Those of published tokenizers make it shorter.
_MOST_GROWTH = 16
#: Bytes that a part may put before a text, or for one character: Unicode's own longest has 33.
_MOST_ADDED = 64
#: How many times longer the letters of a script may become, together. Their bytes as letters (ByteLevel) make three.
_MOST_SCRIPT_GROWTH = 12
#: Letters of the scripts below U+3100, in blocks, and samples of Han and Hangul.
_BLOCKS = (*(range(at, at + 128) for at in range(0, 0x3100, 128)), range(0x4E00, 0xA000, 97), range(0xAC00, 0xD7A4, 97))
_MOST_PARTS = 64
#: Special tokens around a text, and how often the text itself may stand in the template.
_MOST_SPECIAL, _MOST_REPEATED = 64, 2
_MOST_PATTERN = 4096
#: A repeated group in which something is repeated or may be chosen takes exponential time; so may references.
_SLOW_PATTERN = re.compile(r"\((?:[^()\\]|\\.)*[+*}|](?:[^()\\]|\\.)*\)[+*{]|\\[1-9]|\\[gk][<']|\(\?R\)")


def refuse_unbounded(tokenizer: Tokenizer, folder: str) -> None:
    """Refuse a tokenizer that can make far more of a text than the text.

    Raises:
        CheckpointError: it says which part does so.
    """
    try:
        problem = _problem(tokenizer)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder}: its tokenizer has a part that is not known here ({error!r})") from error
    if problem is not None:
        raise CheckpointError(f"{folder}: its tokenizer can't be used: {problem}")


def _problem(tokenizer: Tokenizer) -> str | None:
    normalisers = list(_parts(tokenizer.normalizer, "normalizers"))
    splitters = list(_parts(tokenizer.pre_tokenizer, "pretokenizers"))
    if max(len(normalisers), len(splitters)) > _MOST_PARTS:
        return f"it has more than {_MOST_PARTS} parts one after another"
    growth = 1.0
    for part in (*normalisers, *splitters):
        growth *= _growth(part)
        if _added(part) > _MOST_ADDED:
            return f"its {part['type']} adds up to {_added(part)} bytes at a time"
    if sum(part["type"] == "Precompiled" for part in normalisers) > 1:
        return "it normalises a text by several tables, one after another"
    if growth > _MOST_GROWTH:
        return f"its normaliser can make a text {growth:.3g} times as long"
    for part in (*normalisers, *splitters):
        pattern = part.get("pattern")
        expression = pattern.get("Regex", "") if isinstance(pattern, dict) else ""
        if len(expression) > _MOST_PATTERN or _SLOW_PATTERN.search(expression):
            return f"the pattern of its {part['type']} may take a time without bounds: {expression[:40]!r}"
    if (block := _multiplied_block(tokenizer.normalizer)) is not None:
        return f"its normaliser multiplies letters such as {block!r}"
    return _template_problem(list(_parts(tokenizer.post_processor, "processors")))


def _multiplied_block(normaliser: Any) -> str | None:
    """Return letters of which the normaliser makes far more; None: there are none."""
    for block in _BLOCKS if normaliser is not None else ():
        letters = "".join(filter(str.isprintable, map(chr, block)))
        if len(normaliser.normalize_str(letters)) > _MOST_SCRIPT_GROWTH * (len(letters) + 8):
            return letters[:3]
    return None


def _parts(component: Any, inner: str) -> Iterator[dict[str, Any]]:
    """Yield the parts of a component as its JSON has them, those of sequences one by one."""
    if component is None:
        return
    waiting = [parse_json(component.__getstate__())]
    while waiting:
        part = waiting.pop()
        if part["type"] == "Sequence":
            waiting += reversed(part[inner])
        else:
            yield part


def _growth(part: dict[str, Any]) -> float:
    """Return how many times as long a part can make a text, whatever the text."""
    if part["type"] == "ByteLevel":
        return 2.0  # one after another, each makes two letters of one
    if part["type"] != "Replace":
        return 1.0
    length = len(part["content"])
    expression = part["pattern"].get("String")
    # A regular expression may match nothing, between any two characters.
    return max(1.0, length / max(1, len(expression)) if expression is not None else length + 1.0 if length > 1 else 1.0)


def _added(part: dict[str, Any]) -> int:
    """Return how many bytes a part can put before a text, or for one character."""
    if part["type"] == "Prepend":
        return len(part["prepend"].encode())
    if part["type"] != "Precompiled":
        return 0
    try:
        table = base64.b64decode(part["precompiled_charsmap"] or "")
    except binascii.Error as error:
        raise ValueError("precompiled_charsmap is not base64") from error
    texts = table[4 + int.from_bytes(table[:4], "little") :]  # after the trie
    return max(map(len, texts.split(b"\0")))


def _template_problem(processors: list[dict[str, Any]]) -> str | None:
    if len(processors) > _MOST_PARTS:
        return f"it has more than {_MOST_PARTS} parts one after another"
    for part in processors:
        if part["type"] != "TemplateProcessing":
            continue
        lengths = {name: len(special["ids"]) for name, special in part["special_tokens"].items()}
        for template in (part["single"], part["pair"]):
            names = [piece["SpecialToken"]["id"] for piece in template if "SpecialToken" in piece]
            if len(template) - len(names) > _MOST_REPEATED:
                return f"its template repeats a text {len(template) - len(names)} times"
            if sum(lengths.get(name, 0) for name in names) > _MOST_SPECIAL:
                return f"its template has more than {_MOST_SPECIAL} special tokens"
    return None
