"""Quality floor: the lines that say which layers of a file have a higher precision, why, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator

from edgebench.artifact import Artifact


def floor_lines(name: str, artifact: Artifact) -> Iterator[str]:
    """Yield the lines of a variant's file; none if no floor was asked for."""
    if (quality := artifact.quality) is None:
        return
    yield f"{name} {artifact.format}: {quality}"
    for layer in quality.lines():
        yield f"  {layer}"
    if quality.held_out_decided:
        yield "  more layers than the inputs of the search need: those held out took part, so they prove less"
