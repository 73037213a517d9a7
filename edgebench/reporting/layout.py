"""How tables look: every table of a terminal is a `ResultTable`, which fits the terminal.

A table that finds no room leaves out columns, the least important first, and says which in a line below. A console
whose attribute `shows_all_columns` is true (`--wide`, output to a file) has them all: what finds no room goes on below,
after the names of the rows. No figure is broken or cut at any width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from edgebench.reporting.charts import ascii_chart
from edgebench.reporting.verdict_style import ASCII_SIGNS, coloured, sign_of
from edgebench.text import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

_GAP = 2  # characters between columns
_FOLDED = 20  # characters that a name keeps, however narrow the terminal
_LONGEST_WORD = 32  # characters; a longer word (a path) may go on in the next line
#: How every table looks.
_LOOK: dict[str, Any] = {
    "box": SIMPLE_HEAD,
    "show_edge": False,
    "pad_edge": False,
    "padding": (0, _GAP - 1, 0, 0),  # the box itself has one between columns
}
_LONG = 4000  # characters of a heading, a note or a cell of text
#: Priority of a column that no width hides.
ALWAYS = 0
_USUAL = 5


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its cells from top to bottom.

    `names_row`: it says which row it is, in every part of the table. `text`: it has words, not figures, in it.
    `folds`: its cells may go on in the next line where space is short. `verdict`: its cells are coloured by what they
    say. `priority`: columns with the greatest are hidden first; one with ALWAYS never is. `chart`: its cells are of
    `charts`, with characters that a printable text does not have.
    """

    header: str
    cells: Sequence[str]
    names_row: bool = False
    text: bool = False
    folds: bool = False
    dim: Collection[int] = ()  # positions of cells that are greyed
    verdict: bool = False
    priority: int | None = None  # ALWAYS where it names the row, else the usual one
    chart: bool = False
    note: str = ""  # stands below a table that shows the column

    def __post_init__(self) -> None:
        if not self.chart:
            # A store may come from anywhere: what it says must not move the cursor.
            object.__setattr__(self, "cells", tuple(printable(cell, _LONG) for cell in self.cells))
        if self.priority is None:
            object.__setattr__(self, "priority", ALWAYS if self.names_row else _USUAL)

    @property
    def title(self) -> str:
        """The header in one line."""
        return self.header.replace("\n/", "/").replace("\n", " ")

    @property
    def width(self) -> int:
        """Of the widest line, in a terminal's columns."""
        return max(cell_len(line) for cell in (self.header, *self.cells) for line in cell.split("\n"))

    @property
    def least_width(self) -> int:
        """Of the narrowest column that breaks no figure and no word of usual length."""
        heading = _longest_word((self.header,))
        if not self.folds:
            return max(heading, *map(cell_len, self.cells), 0)
        if self.names_row:
            return min(self.width, _FOLDED)
        return min(max(heading, _longest_word(self.cells)), _LONGEST_WORD)


def _longest_word(cells: Iterable[str]) -> int:
    return max((cell_len(word) for cell in cells for word in cell.split()), default=0)


class ResultTable:
    """A table that fits its console, with a heading above and notes below."""

    def __init__(self, columns: Sequence[Column], *, heading: str = "", notes: Sequence[str] = ()) -> None:
        self._columns = tuple(columns)
        self._heading = printable(heading, _LONG)
        self._notes = [printable(note, _LONG) for note in notes]

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns, from left to right."""
        return self._columns

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._heading:
            yield Text(self._heading, style="bold")
        columns, room = [_shown(column, console, options) for column in self.columns], options.max_width
        kept = columns if getattr(console, "shows_all_columns", False) else _most_important(columns, room)
        for number, part in enumerate(_parts(kept, room)):
            if self._space_before(number):
                yield ""
            yield _rich_table(part, room)
        if hidden := [column.title for column in columns if column not in kept and column.title]:
            yield Text(f"hidden: {', '.join(hidden)}; --wide shows {'it' if len(hidden) == 1 else 'them'}")
        if notes := [*(printable(column.note, _LONG) for column in kept if column.note), *self._notes]:
            yield ""
            yield from map(Text, notes)

    def _space_before(self, number: int) -> bool:
        return bool(self._heading or number)


def _shown(column: Column, console: Console, options: ConsoleOptions) -> Column:
    """Return a column as this console shows it: charts in its encoding, verdicts in a terminal with a sign."""
    if column.chart and options.ascii_only:
        return replace(column, cells=tuple(map(ascii_chart, column.cells)))
    if column.verdict and console.is_terminal:
        signs = [sign_of(cell) for cell in column.cells]
        if options.ascii_only:
            signs = [ASCII_SIGNS.get(sign, "") for sign in signs]
        return replace(column, cells=[f"{sign} {cell}".strip() for sign, cell in zip(signs, column.cells, strict=True)])
    return column


def _most_important(columns: Sequence[Column], room: int) -> list[Column]:
    """Return the columns that find room beside each other, without the least important; of equals, the last goes."""
    kept = list(columns)
    while sum(column.least_width + _GAP for column in kept) - _GAP > room:
        least = max(reversed(kept), key=_priority)
        if _priority(least) == ALWAYS:
            break
        kept = [column for column in kept if column is not least]
    return kept


def _priority(column: Column) -> int:
    return column.priority or ALWAYS


def _parts(columns: Sequence[Column], room: int) -> Iterator[list[Column]]:
    """Yield which columns stand beside each other: those that name the row, and as many others as find room."""
    names = [column for column in columns if column.names_row]
    rest = [column for column in columns if not column.names_row]
    left = room - sum(column.least_width + _GAP for column in names) + _GAP
    while True:
        count = sum(width <= left for width in accumulate(column.least_width + _GAP for column in rest))
        taken, rest = rest[: max(1, count)], rest[max(1, count) :]
        yield [column for column in columns if column in names or column in taken]
        if not rest:
            return


def _widths(columns: Sequence[Column], room: int) -> list[int | None]:
    """Return the widths of columns that share the room: each the least that it needs, what is left by need."""
    widths = [column.least_width for column in columns]
    left = room - _GAP * (len(columns) - 1) - sum(widths)
    if left < 0:
        return [None for _ in columns]  # not even the names find room: they are folded
    wanted = [column.width - width for column, width in zip(columns, widths, strict=True)]
    for at in sorted(range(len(columns)), key=wanted.__getitem__):
        more = min(wanted[at], left)
        widths[at] += more
        left -= more
    return list(widths)


def _rich_table(columns: Sequence[Column], room: int) -> Table:
    table = Table(**_LOOK)
    for column, width in zip(columns, _widths(columns, room), strict=True):
        is_left = column.names_row or column.text
        table.add_column(Text(column.header), justify="left" if is_left else "right", overflow="fold", width=width)
    for at in range(max((len(column.cells) for column in columns), default=0)):
        table.add_row(*(_cell(column, column.cells[at], is_dim=at in column.dim) for column in columns))
    return table


def _cell(column: Column, text: str, *, is_dim: bool) -> Text:
    if column.verdict and not is_dim:
        return coloured(text)
    return Text(text, style="dim" if is_dim else "", overflow="fold")


class PlainTable(ResultTable):
    """A table to which rows of texts are added. Its lines break between words only, figures and ids not at all."""

    def __init__(
        self,
        *headers: str,
        title: str | None = None,
        names: int = 1,
        figures: Collection[str] = (),
        whole: Collection[str] = (),
        verdict: str | None = None,
        hide_first: Sequence[str] = (),
    ) -> None:
        """Make an empty table.

        Args:
            names: how many columns, from the left, say which row it is.
            figures: headers of columns of figures: on the right of their column, on one line.
            whole: headers of columns of ids, which stay on one line.
            verdict: header of the column of verdicts.
            hide_first: headers of columns that a narrow terminal hides, the first one first; others are hidden after
                them, from the right.
        """
        super().__init__((), heading=title or "")
        self._rows: list[tuple[str, ...]] = []
        last = _USUAL + len(hide_first)
        self._empty = [
            Column(
                header,
                (),
                names_row=at < names,
                text=header not in figures,
                folds=header not in figures and header not in whole,
                verdict=header == verdict,
                priority=last - hide_first.index(header) if header in hide_first else None,
            )
            for at, header in enumerate(headers)
        ]

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns, from left to right."""
        if not self._rows:
            return tuple(self._empty)
        cells = zip(*self._rows, strict=True)
        return tuple(replace(column, cells=each) for column, each in zip(self._empty, cells, strict=True))

    def add_row(self, *cells: str) -> None:
        """Add a row of plain text: what a board says may have brackets in it, which are markup to rich.

        Raises:
            ValueError: as many cells as columns are needed.
        """
        if len(cells) != len(self._empty):
            raise ValueError(f"{len(self._empty)} cells expected, got {len(cells)}")
        self._rows.append(cells)

    def _space_before(self, number: int) -> bool:
        return number > 0  # the heading is the table's title
