"""How verdicts look: a word in a colour and, in a terminal's table, a sign before it, for whoever sees no colours."""

from __future__ import annotations

import re

from rich.text import Text

#: The first words of a verdict or of a validity -> its colour. A terminal without colours, or NO_COLOR, shows none.
_COLOURS = {
    **dict.fromkeys(("faster", "better", "equivalent", "comparable", "yes", "higher", "less", "pass", "ok"), "green"),
    **dict.fromkeys(("slower", "worse", "no", "lower", "more", "fail", "to mend", "not valid"), "red"),
    **dict.fromkeys(("inconclusive", "not", "undecided", "could be better", "stopped"), "yellow"),
}
_SIGNS = {"green": "✓", "red": "✗", "yellow": "?"}
#: The signs where the encoding has no others.
ASCII_SIGNS = {"✓": "+", "✗": "x", "?": "?"}
_VERDICTS = re.compile(
    r"\b(?:is (faster|slower) than|is (equivalent) to|is (inconclusive|not decided)|are (better|worse)"
    r"|(NOT VALID|NOT JUDGED))\b|^(passed|failed|undecided)\b"
)
_SIGN = re.compile(r"^[✓✗?+x] ")
_IN_SENTENCES = {"passed": "green", "failed": "red", "NOT VALID": "red", "NOT JUDGED": "yellow"}


def colour_of(cell: str) -> str:
    """Return the colour of a verdict or a validity: green, red, yellow, or nothing."""
    words = _SIGN.sub("", cell).split()
    for count in (3, 2, 1):
        if colour := _COLOURS.get(" ".join(words[:count]).rstrip(",;:")):
            return colour
    return ""


def sign_of(cell: str) -> str:
    """Return the sign that says the same as the colour; empty where a cell has none."""
    return _SIGNS.get(colour_of(cell), "")


def coloured(cell: str) -> Text:
    """Return a verdict or a validity in its colour."""
    return Text(cell, style=colour_of(cell), overflow="fold")


def coloured_sentence(sentence: str) -> Text:
    """Return a verdict's sentence whose verdict has its colour."""
    text = Text(sentence)
    for found in _VERDICTS.finditer(sentence):
        number = found.lastindex or 0
        text.stylize(_IN_SENTENCES.get(found[number]) or colour_of(found[number]), *found.span(number))
    return text
