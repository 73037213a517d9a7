"""Text for people: what comes from elsewhere (a board, a store that others wrote) as one harmless line; counts."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

#: Control (escapes, C1), format (bidirectional overrides), surrogates, private use, unassigned.
_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn"}
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def duration_text(seconds: float) -> str:
    """Return a time for a message: `5 s`, `90 s`, `10 minutes`."""
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{max(0.0, seconds):.0f} s"


def printable(text: Any, limit: int = 500) -> str:
    """Return `text` as one line of at most `limit` characters that does nothing to a terminal, a table or a log.

    What has no place in a line, line breaks and escape characters among it, becomes a space; runs of spaces become one.
    """
    clean = "".join(" " if unicodedata.category(c) in _UNSAFE else c for c in str(text))
    line = " ".join(clean.split())
    return line if len(line) <= limit else line[: max(0, limit - 3)] + "..."


def harmless(text: str) -> str:
    """Return text that does nothing to a terminal but to begin lines and to advance to the next column of tabs.

    Escape and other control characters, bidirectional overrides, characters of no width, halves of surrogate pairs and
    unassigned characters each become a space; an escape sequence is then shown as the text that it is made of.
    """
    if text.isascii() and not _CONTROLS.search(text):
        return text
    return "".join(" " if unicodedata.category(c) in _UNSAFE and c not in "\n\t" else c for c in text)


def escaped_json(text: str) -> str:
    """Return a JSON document, indented or not, in which every character that `harmless` replaces is an escape of JSON.

    Such characters can stand in its strings alone, so it means the same as before.
    """
    if text.isascii() and not _CONTROLS.search(text):
        return text
    return "".join(_json_escape(c) if unicodedata.category(c) in _UNSAFE and c != "\n" else c for c in text)


def _json_escape(character: str) -> str:
    code = ord(character)
    if code < 1 << 16:
        return f"\\u{code:04x}"
    code -= 1 << 16
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def counted(number: int, noun: str, nouns: str | None = None) -> str:
    """Return a number with its noun: `1 run`, `1,200 runs`, `1 query`; `nouns`: a plural that does not end in s."""
    plural = nouns or (f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s")
    return f"{number:,} {noun if number == 1 else plural}"
