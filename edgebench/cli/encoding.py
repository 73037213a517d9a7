"""Output to terminals and pipes that are not UTF-8 (PYTHONIOENCODING=ascii, LC_ALL=C): nothing is lost over a sign."""

from __future__ import annotations

import codecs
import io
import sys

_HANDLER = "edgebench.ascii"
#: What stands for signs of tables and messages; another character becomes its escape sequence.
_SIGNS = {
    "±": "+-",
    "°": "deg ",
    "µ": "u",
    "μ": "u",
    "×": "x",
    "≤": "<=",
    "≥": ">=",
    "→": "->",
    "…": "...",
    "–": "-",
    "—": "-",
    "·": ".",
    "’": "'",
    "“": '"',
    "”": '"',
}


def tolerate_encodings() -> None:
    """Let standard output and standard error replace what their encoding lacks, instead of raising UnicodeEncodeError.

    Half a surrogate pair, as names of files on another system may have, is in no encoding.
    """
    codecs.register_error(_HANDLER, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors=_HANDLER)


def can_encode(text: str, encoding: str | None = None) -> bool:
    """Whether an encoding (None: that of standard output) has all characters of a text."""
    try:
        text.encode(encoding or getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    shown = (_SIGNS.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in signs)
    return "".join(shown), error.end
