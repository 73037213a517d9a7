"""Caveats of scores: a mark beside the figure, and a line for each caveat with the languages that have it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

#: Stands behind a figure that has caveats, and before each of them.
MARK = "!"


def marked(figure: str, caveats: Sequence[str]) -> str:
    """Return a figure, marked where it has caveats."""
    return f"{figure} {MARK}" if caveats else figure


def caveat_lines(scores: Iterable[tuple[str, str, Sequence[str]]]) -> Iterator[str]:
    """Yield a line for each caveat of a task: which languages have it, then the caveat.

    Args:
        scores: task, language and caveats.
    """
    langs: dict[tuple[str, str], list[str]] = {}
    for task, lang, caveats in scores:
        for caveat in caveats:
            found = langs.setdefault((task, caveat), [])
            if lang not in found:
                found.append(lang)
    for (task, caveat), found in langs.items():
        yield f"{MARK} {task} {', '.join(found)}: {caveat}"
