"""Plans of exports as a table, with a line for what else should be known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgebench.planning import ExportPlan, sizes_text
from edgebench.prediction import Fit
from edgebench.reporting.layout import add_plain_row, plain_table

if TYPE_CHECKING:
    from rich.table import Table


def plans_table(plans: Sequence[ExportPlan]) -> Iterator[Table | str]:
    """Yield what to print of plans for one board, or for none."""
    board = plans[0].board
    headers = ["model", "format", "parameters", "file MB", "load peak MB", "run peak MB", "peak MB", "load"]
    table = plain_table(*headers, *([board.name] if board is not None else []), names=2)
    for column in table.columns[2:8]:
        column.justify = "right"
    for plan in plans:
        add_plain_row(table, *_cells(plan), *([str(plan.fit)] if board is not None else []))
    yield table
    yield from _notes(plans)


def _cells(plan: ExportPlan) -> Iterator[str]:
    yield plan.model
    yield str(plan.format)
    yield f"{plan.parameters / 1e6:.1f} M" if plan.parameters is not None else "-"
    yield f"{plan.file_bytes / 1e6:.1f}"
    predicted = plan.prediction
    if predicted is None:
        yield from ("-", "-", "-", "-")
        return
    low, high = predicted.peak_rss_range
    yield f"{predicted.load_rss_bytes / 1e6:.0f}"
    yield f"{predicted.run_rss_bytes / 1e6:.0f}"
    yield f"{low / 1e6:.0f} to {high / 1e6:.0f}"
    yield f"about {predicted.load_ms / 1e3:.1f} s" if predicted.load_ms is not None else "not known"


def _notes(plans: Sequence[ExportPlan]) -> Iterator[str]:
    shapes = dict.fromkeys((each.prediction.batch, each.prediction.seq_len) for each in plans if each.prediction)
    for batch, seq_len in shapes:
        yield f"peak: RSS of the measuring process with {batch} x {seq_len} tokens"
    if any(plan.prediction is not None and plan.prediction.load_ms is None for plan in plans):
        yield "load: not known, because no earlier run on this board tells how fast it loads, or the file is small"
    board = plans[0].board
    if board is not None:
        memory = board.memory
        if memory.free is not None:
            yield f"{board.name}: {memory.free / 1e6:.0f} MB were free when it was last read"
        elif memory.total is not None:
            yield (
                f"{board.name}: {sizes_text(memory.sold_with)} of memory, of which three quarters are taken to be free"
            )
    for plan in plans:
        yield from (f"{plan.model} {plan.format}: {note}" for note in plan.notes)
        if plan.board is None or plan.prediction is None or plan.fit is Fit.FITS:
            continue
        size = plan.board.memory.smallest_fitting(plan.prediction)
        if size is not None:
            yield f"{plan.model} {plan.format}: fits into a {plan.board.name} with {sizes_text([size])}"
