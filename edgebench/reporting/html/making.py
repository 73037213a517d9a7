"""report() and plot(): results to a document, or to one picture."""

from __future__ import annotations

from pathlib import Path

from edgebench.errors import StoreError
from edgebench.reporting.html.document import document_of
from edgebench.reporting.html.markdown import markdown_of
from edgebench.reporting.html.pictures import check_picture, picture_of
from edgebench.reporting.html.results import Result, Results, sort_results
from edgebench.reporting.html.sections import page_of
from edgebench.store import Store, default_folder
from edgebench.text import counted


def report(
    *results: Result,
    out: str | Path | None = None,
    markdown: bool = False,
    title: str | None = None,
    store: Store | str | Path | None = None,
    command: str | None = None,
) -> str:
    """Return a page about results: the answer in words, then tables and plots. It opens without a network.

    Args:
        results: Measurements, Evaluations, Comparisons, PairedComparisons, GateResults, GateHistories and
            StudyReports, in any number and mixture. Measurements of comparisons and studies are shown, too.
        out: the file to write; None: none is written.
        markdown: Markdown with the same answer and tables, without plots; needs no extra.
        title: of the page; default: what it is about.
        store: where the results are kept, for the commands that the page shows.
        command: the command that makes the page again, to be shown on it.

    Raises:
        UsageError: there are no results, one is something else, or they have more than 2,000 runs.
        MissingExtra: the extra `report` is not installed.
        StoreError: the file can't be written.
    """
    found = sort_results(results)
    folder = str(store.location if isinstance(store, Store) else store or default_folder())
    page = page_of(found, title=title or _title(found), store=folder, own_command=command, with_figures=not markdown)
    text = markdown_of(page) if markdown else document_of(page)
    if out is not None:
        _write(Path(out), text.encode())
    return text


def plot(*results: Result, kind: str, out: str | Path) -> Path:
    """Write one figure of a report as a picture, for a paper or a slide; return the file.

    Args:
        results: as `report` takes them.
        kind: distribution, runs, memory, operators, forest, history, front, languages or time. Of several figures of a
            kind, the first is drawn.
        out: the file; `.png` or `.svg`.

    Raises:
        UsageError: there are no results, no such figure, or the file is neither PNG nor SVG.
        MissingExtra: the extra `report` is not installed.
        StoreError: the file can't be written.
    """
    target = Path(out)
    check_picture(target, kind)
    found = sort_results(results)
    page = page_of(found, title=_title(found), store=default_folder(), own_command=None)
    _write(target, picture_of(page.figures, kind=kind, suffix=target.suffix))
    return target


def _title(results: Results) -> str:
    counts = (
        (len(results.studies), "study"),
        (len(results.gates), "gate"),
        (len(results.comparisons), "comparison"),
        (len(results.measurements), "measurement"),
        (len(results.evaluations), "evaluation"),
        (len(results.histories), "history"),
    )
    return f"edgebench: {', '.join(counted(number, noun) for number, noun in counts if number)}"


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"can't write {path}: {error.strerror}") from error
