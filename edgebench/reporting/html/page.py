"""Page: what a report says, before it is HTML or Markdown. Texts are plain; whoever writes them out escapes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Value = str | float | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableBlock:
    """A table. `verdict`: the header of the column whose cells are coloured by what they say; `numbers`: headers of
    columns that are justified to the right.
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    verdict: str | None = None
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The data of a chart: the names of the columns, and the rows under them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One set of axes: a specification of Vega-Lite without data, and the data by the names that it has for them.

    `label`: what a screen reader says of it.
    """

    spec: dict[str, Any]
    data: dict[str, Rows]
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Plots that are read together. `caption`: how to read them. `kind`: the name of the chart, for `plot`."""

    kind: str
    title: str
    caption: str
    plots: tuple[Plot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command to copy, and what it does."""

    about: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """A file that the page carries. `about`: what a row is."""

    name: str
    about: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A heading inside a section."""

    text: str


Block = str | Heading | TableBlock | Figure | Command | Download


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page; one without blocks is left out."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A report. `warning`: the first line where a result is not valid; `answers`: a sentence each."""

    title: str
    warning: str | None
    answers: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def figures(self) -> list[Figure]:
        """All figures, in the order of the page."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Figure)]


def section(title: str, blocks: Sequence[Block | None]) -> Section:
    """Return a section of those blocks that are there."""
    return Section(title=title, blocks=tuple(block for block in blocks if block is not None))
