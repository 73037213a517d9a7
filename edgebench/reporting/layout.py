"""How tables look: columns, tables that fit a terminal, plain tables of text, and colours of verdicts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
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
#: The first word of a verdict or of a validity -> its colour. A terminal without colours, or NO_COLOR, shows none.
_COLOURS = {
    **dict.fromkeys(("faster", "better", "equivalent", "comparable", "yes", "higher", "less", "pass", "ok"), "green"),
    **dict.fromkeys(("slower", "worse", "no", "lower", "more", "fail"), "red"),
    **dict.fromkeys(("inconclusive", "not", "undecided"), "yellow"),
}
_VERDICTS = re.compile(
    r"\b(?:is (faster|slower) than|is (equivalent) to|is (inconclusive|not decided)|are (better|worse))\b"
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its cells from top to bottom.

    `names_row`: it says which row it is, in every part of the table. `text`: it has words, not figures, in it.
    `folds`: its cells may go on in the next line where space is short; one column of a table may. `verdict`: its cells
    are coloured by what they say.
    """

    header: str
    cells: Sequence[str]
    names_row: bool = False
    text: bool = False
    folds: bool = False
    dim: Collection[int] = ()  # positions of cells that are greyed
    verdict: bool = False

    def __post_init__(self) -> None:
        # A store may come from anywhere: what it says must not move the cursor.
        object.__setattr__(self, "cells", tuple(printable(cell) for cell in self.cells))

    @property
    def width(self) -> int:
        """Of the widest line, in a terminal's columns."""
        return max(cell_len(line) for cell in (self.header, *self.cells) for line in cell.split("\n"))


def coloured(cell: str) -> Text:
    """Return a verdict or a validity in its colour."""
    return Text(cell, style=colour_of(cell), overflow="fold")


def colour_of(cell: str) -> str:
    """Return the colour of a verdict or a validity: green, red, yellow, or nothing."""
    return _COLOURS.get(cell.partition(" ")[0].rstrip(",;:"), "")


def coloured_sentence(sentence: str) -> Text:
    """Return a verdict's sentence whose verdict has its colour."""
    text = Text(sentence)
    for found in _VERDICTS.finditer(sentence):
        number = found.lastindex or 0
        text.stylize(_COLOURS[found[number].partition(" ")[0]], *found.span(number))
    return text


class PlainTable(Table):
    """A table of texts. Its lines break between words only, figures (justified to the right) not at all; columns that
    find no room go on below.

    `names`: how many columns, from the left, say which row it is. `verdict`: the column of verdicts.
    """

    def __init__(
        self, *headers: str, title: str | None = None, names: int = 1, verdict: str | None = None, **look: Any
    ) -> None:
        super().__init__(title=title, title_justify="left", **_LOOK, **look)
        self._names, self._verdict, self._headers = names, verdict, headers
        for header in headers:
            self.add_column(Text(header), overflow="fold")

    def add_texts(self, *cells: str) -> None:
        """Add a row of plain text: what a board says may have brackets in it, which are markup to rich."""
        shown = [printable(cell, _LONG) for cell in cells]
        self.add_row(
            *(
                coloured(cell) if header == self._verdict else Text(cell, overflow="fold")
                for header, cell in zip(self._headers, shown, strict=True)
            )
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = [[self._headers[at], *(str(cell) for cell in column.cells)] for at, column in enumerate(self.columns)]
        needed = []
        for column, (header, *cells) in zip(self.columns, columns, strict=True):
            narrowest = cell_len if column.justify == "right" else _longest_word
            needed.append(max(_longest_word(header), *map(narrowest, cells), 0))
        wanted = [max(cell_len(cell) for cell in cells) for cells in columns]
        room = options.max_width
        for number, part in enumerate(_parts(needed, room, names=self._names)):
            if number:
                yield ""
            table = self if len(part) == len(columns) else self._of_columns(part, with_title=number == 0)
            widths = _widths([needed[at] for at in part], [wanted[at] for at in part], room)
            for column, width in zip(table.columns, widths, strict=True):
                column.width = width
            yield from Table.__rich_console__(table, console, options)

    def _of_columns(self, part: Sequence[int], *, with_title: bool) -> PlainTable:
        headers = [self._headers[at] for at in part]
        table = PlainTable(*headers, title=str(self.title) if self.title and with_title else None)
        for column, at in zip(table.columns, part, strict=True):
            column.justify = self.columns[at].justify
            column._cells = list(self.columns[at]._cells)
        table.rows = list(self.rows)
        return table


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _parts(needed: Sequence[int], room: int, *, names: int) -> Iterator[list[int]]:
    """Yield which columns stand beside each other: those that name the row, and as many others as find room."""
    first, rest = list(range(min(names, len(needed)))), list(range(min(names, len(needed)), len(needed)))
    while True:
        left = room - sum(needed[at] + _GAP for at in first) + _GAP
        count = sum(width <= left for width in accumulate(needed[at] + _GAP for at in rest))
        taken, rest = rest[: max(1, count)], rest[max(1, count) :]
        yield [*first, *taken]
        if not rest:
            return


def _widths(needed: Sequence[int], wanted: Sequence[int], room: int) -> list[int | None]:
    """Return the widths of columns that share the room: each as wide as its longest word, what is left by need."""
    left = room - _GAP * (len(needed) - 1) - sum(needed)
    if left < 0:
        return [None for _ in needed]  # not even the words find room: they are folded
    widths = list(needed)
    for at in sorted(range(len(needed)), key=lambda at: wanted[at] - needed[at]):
        more = min(wanted[at] - needed[at], left)
        widths[at] += more
        left -= more
    return list(widths)


def plain_table(*headers: str, title: str | None = None, names: int = 1, verdict: str | None = None) -> PlainTable:
    """Return an empty table that looks like those of results; add rows with `add_plain_row`.

    Args:
        names: how many columns, from the left, name the row where the table goes on below.
        verdict: the header of the column whose cells are coloured by what they say.
    """
    return PlainTable(*headers, title=title, names=names, verdict=verdict)


def add_plain_row(table: PlainTable, *cells: str) -> None:
    """Add a row of plain text: an address or what a board says may have brackets in it, which are markup to rich."""
    table.add_texts(*cells)


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
        for position, row in enumerate(zip(*(column.cells for column in columns), strict=True)):
            cells = zip(columns, row, strict=True)
            self.add_row(*(_cell(column, cell, is_dim=position in column.dim) for column, cell in cells))

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


def _cell(column: Column, text: str, *, is_dim: bool) -> Text:
    if column.verdict and not is_dim:
        return coloured(text)
    return Text(text, style="dim" if is_dim else "")
