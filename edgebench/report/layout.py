"""How tables look: columns, tables that fit a terminal, and plain tables of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from edgebench.text import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

_GAP = 2  # characters between columns
_FOLDED = 20  # characters that a variant's name keeps, however narrow the terminal
#: How every table looks.
_LOOK: dict[str, Any] = {
    "box": SIMPLE_HEAD,
    "show_edge": False,
    "pad_edge": False,
    "padding": (0, _GAP - 1, 0, 0),  # the box itself has one between columns
}
_LONG = 4000  # characters of a heading or a note


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its cells from top to bottom.

    `names_row`: it says which row it is, in every part of the table. `text`: it has words, not figures, in it.
    `folds`: its cells may go on in the next line where space is short; one column of a table may. `styles`: how each
    cell looks, in rich's words; empty: plain.
    """

    header: str
    cells: Sequence[str]
    names_row: bool = False
    text: bool = False
    folds: bool = False
    styles: Sequence[str] = ()

    def __post_init__(self) -> None:
        # A store may come from anywhere: what it says must not move the cursor.
        object.__setattr__(self, "cells", tuple(printable(cell) for cell in self.cells))

    @property
    def texts(self) -> list[Text]:
        """The cells, in their styles."""
        return [
            Text(cell, style) for cell, style in zip(self.cells, self.styles or [""] * len(self.cells), strict=True)
        ]

    @property
    def width(self) -> int:
        """Of the widest line, in a terminal's columns."""
        return max(cell_len(line) for cell in (self.header, *self.cells) for line in cell.split("\n"))


def plain_table(*headers: str, title: str | None = None) -> Table:
    """Return an empty table that looks like those of results; add rows with `add_plain_row`."""
    table = Table(title=title, title_justify="left", **_LOOK)
    for header in headers:
        table.add_column(Text(header), overflow="fold")
    return table


def add_plain_row(table: Table, *cells: str) -> None:
    """Add a row of plain text: an address or what a board says may have brackets in it, which are markup to rich."""
    table.add_row(*(Text(printable(cell, _LONG), overflow="fold") for cell in cells))


class FittingTable(Table):
    """A table that is never truncated: columns that find no room go on below, after the names of the rows."""

    def __init__(
        self, columns: Sequence[Column], *, heading: str = "", notes: Sequence[str] = (), folded: int | None = None
    ) -> None:
        """Make the table; `folded` is the width of the column that folds."""
        super().__init__(**_LOOK)
        self._contents, self._heading = list(columns), printable(heading, _LONG)
        self._notes = [printable(note, _LONG) for note in notes]
        for column in columns:
            self.add_column(
                Text(column.header),
                justify="left" if column.names_row or column.text else "right",
                overflow="fold",
                no_wrap=not column.folds,
                width=folded if column.folds else None,
            )
        for row in zip(*(column.texts for column in columns), strict=True):
            self.add_row(*row)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._heading:
            yield Text(self._heading, style="bold")
        for number, part in enumerate(self._parts(options.max_width)):
            if self._heading or number:
                yield ""
            # The plain table's renderer: a part is not taken apart again.
            yield from Table.__rich_console__(part, console, options)
        if self._notes:
            yield ""
        for note in self._notes:
            yield Text(note)

    def _parts(self, room: int) -> Iterator[FittingTable]:
        names = [column for column in self._contents if column.names_row]
        figures = [column for column in self._contents if not column.names_row]
        rigid = sum(_GAP + column.width for column in self._contents if not column.folds)
        folding = max((column.width for column in names if column.folds), default=0)
        folded = min(folding, max(_FOLDED, room - rigid))
        left = room - folded - sum(_GAP + column.width for column in names if not column.folds)
        if not folding:
            left += _GAP  # the first column of all has no gap before it
        while figures:
            widths = accumulate(_GAP + column.width for column in figures)
            count = max(1, sum(width <= left for width in widths))
            taken, figures = figures[:count], figures[count:]
            yield FittingTable([*names, *taken], folded=folded)
