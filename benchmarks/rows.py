"""Rows of a table of goals: what must be reached, and whether it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmarks.tables import print_markdown


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure and its limit: `least`, or `most`. `shown`: how the figure is printed; default: three decimals."""

    what: str
    value: float
    least: float | None = None
    most: float | None = None
    shown: str | None = None

    @property
    def is_met(self) -> bool:
        """Whether the value is within its limits."""
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def goal(self) -> str:
        """The limits in words."""
        limits = [f">= {self.least:.4g}"] if self.least is not None else []
        return ", ".join(limits + ([f"<= {self.most:.4g}"] if self.most is not None else []))


def print_rows(rows: Iterable[Row]) -> bool:
    """Print the table row by row, as they come; return whether every row is met."""
    seen = []

    def cells() -> Iterator[list[str]]:
        for row in rows:
            seen.append(row)
            yield [row.what, row.goal, row.shown or f"{row.value:.4g}", "yes" if row.is_met else "**no**"]

    print_markdown(["what", "must reach", "reached", "met"], cells())
    return all(row.is_met for row in seen)
