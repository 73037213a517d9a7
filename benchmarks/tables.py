"""Tables as Markdown, printed row by row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def print_markdown(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table as its rows come."""
    print("| " + " | ".join(headers) + " |\n|" + " ---: |" * len(headers), flush=True)
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
