"""Text and tables of Markdown, in which nothing from elsewhere is markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgebench.text import printable

_SPECIAL = "|\\`*_<>[]#"


def markdown_text(text: str) -> str:
    """Return text from elsewhere as one line in which nothing is markup or ends a cell."""
    clean = printable(text, 4000)
    return "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in clean)


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    return [
        f"| {' | '.join(markdown_text(header) for header in headers)} |",
        f"|{' --- |' * len(headers)}",
        *(f"| {' | '.join(markdown_text(cell) for cell in row)} |" for row in rows),
    ]
