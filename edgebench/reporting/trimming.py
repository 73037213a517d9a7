"""Trimming: the lines that say what a vocabulary was cut to, what that saves, and which words it changes."""

from __future__ import annotations

from collections.abc import Iterator

from edgebench.artifact import Segmentation, Trimming
from edgebench.text import counted


def trimming_lines(name: str, trimming: Trimming) -> Iterator[str]:
    """Yield the lines of a variant."""
    yield f"{name}: {trimming}"
    yield (
        f"  parameters: {trimming.parameters / 1e6:.1f} of {trimming.parameters_before / 1e6:.1f} million; weights and"
        f" tokenizer: {trimming.bytes / 1e6:.1f} of {trimming.bytes_before / 1e6:.1f} MB"
    )
    for each in trimming.segmentation:
        yield f"  {_segmentation_line(each)}"
    compared = {each.name for each in trimming.segmentation}
    names = dict.fromkeys((*trimming.languages, *trimming.texts))
    if missing := [each for each in names if each not in compared]:
        yield f"  not compared, for lack of further texts: {', '.join(missing)}"


def _segmentation_line(one: Segmentation) -> str:
    words = counted(one.words, "word")
    source = "the shipped sample" if one.sample else "every second text, by the pieces of the others"
    shares = [f"{100 * count / max(1, one.words):.2f} %" for count in (one.different, one.unknown)]
    return f"{one.name}: {shares[0]} segmented differently, {shares[1]} with an unknown part ({words} of {source})"
