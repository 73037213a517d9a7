"""Text for people: what comes from elsewhere (a board, a store that others wrote) as one harmless line; counts."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

#: Control (escapes, C1), format (bidirectional overrides), surrogates, private use, unassigned.
_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn"}
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def significant(value: float, digits: int = 3) -> str:
    """Return a measured figure with that many significant digits and no exponent: `0.941`, `12.3`, `1,230`.

    Figures of 1,000 and more are rounded, too. What is counted (runs, inferences, bytes) is exact and not for this.
    """
    if not math.isfinite(value):
        return str(value)
    rounded = float(f"{value:.{digits - 1}e}")  # first, because 9.996 has one digit before the point and 10.0 has two
    exponent = math.floor(math.log10(abs(rounded))) if rounded else 0
    return f"{rounded:,.{max(0, digits - 1 - exponent)}f}"


def ratio_decimals(interval: tuple[float, float] | None) -> int:
    """Return how many decimals a ratio near 1 is worth: 3, or 4 where its interval is narrower than 0.1 %."""
    width = interval[1] - interval[0] if interval is not None else 0.0
    return 4 if 0 < width < 0.001 else 3


def ratio_text(ratio: float, interval: tuple[float, float] | None = None) -> str:
    """Return a ratio with the decimals that its interval is worth: its distance from 1 is what is read."""
    return f"{ratio:.{ratio_decimals(interval)}f}"


def ratio_interval_text(interval: tuple[float, float]) -> str:
    """Return the interval of a ratio: `0.989 to 1.014`."""
    decimals = ratio_decimals(interval)
    return f"{interval[0]:.{decimals}f} to {interval[1]:.{decimals}f}"


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
