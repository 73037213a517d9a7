"""Escaping: the one place where text from elsewhere becomes part of a page. Names of a board are hostile until here."""

from __future__ import annotations

import csv
import io
import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from edgebench.text import harmless, printable

_LONG = 4000  # characters of a cell or a sentence
#: What begins a formula in a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_html(text: object) -> str:
    """Return text as one line that is safe between tags and in a quoted attribute."""
    return escape(printable(text, _LONG), quote=True)


def as_script_json(value: Any) -> str:
    """Return a value as JSON that can stand in a <script>: no character in it ends the element or begins a comment."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def as_csv(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a CSV file. A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(headers)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return out.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return "" if value is None else value
    clean = printable(value, _LONG)
    return f"'{clean}" if clean.startswith(_FORMULA) else clean


def as_data_address(text: str, kind: str) -> str:
    """Return a data: address of a text, as a link to download it has it."""
    return f"data:{kind};charset=utf-8;base64,{b64encode(harmless(text).encode()).decode()}"
