"""Plans of exports as a table, with a line for what else should be known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgebench.planning import ExportPlan, sizes_text
from edgebench.prediction import Fit
from edgebench.reporting.layout import PlainTable
from edgebench.text import significant

_FIGURES = ("parameters", "file MB", "load peak MB", "run peak MB", "peak MB", "load")


def plans_table(plans: Sequence[ExportPlan]) -> Iterator[PlainTable | str]:
    """Yield what to print of plans for one board, or for none."""
    board = plans[0].board
    where = [board.name] if board is not None else []
    table = PlainTable(
        *("model", "format"),
        *_FIGURES,
        *where,
        names=2,
        figures=_FIGURES,
        hide_first=("parameters", "load peak MB", "load"),
    )
    for plan in plans:
        table.add_row(*_cells(plan), *([str(plan.fit)] if board is not None else []))
    yield table
    yield from _notes(plans)


def _cells(plan: ExportPlan) -> Iterator[str]:
    yield plan.model
    yield str(plan.format)
    yield f"{significant(plan.parameters / 1e6)} M" if plan.parameters is not None else "-"
    yield significant(plan.file_bytes / 1e6)
    predicted = plan.prediction
    if predicted is None:
        yield from ("-", "-", "-", "-")
        return
    low, high = predicted.peak_rss_range
    yield significant(predicted.load_rss_bytes / 1e6)
    yield significant(predicted.run_rss_bytes / 1e6)
    yield f"{significant(low / 1e6)} to {significant(high / 1e6)}"
    yield f"about {significant(predicted.load_ms / 1e3)} s" if predicted.load_ms is not None else "not known"


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
