"""edgebench report: a page with the answer, tables and plots."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup
from cloup import option, option_group

from edgebench.cli.options import Decorated, store_option, verbosity_options
from edgebench.cli.output import check_json_target
from edgebench.cli.runs.selection import selection_of, selection_options
from edgebench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from edgebench.reporting.html import Result

_STDOUT = Path("-")
_FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)


def result_options(function: Decorated) -> Decorated:
    """Add the options that choose results other than measurements; to be given to `chosen`."""
    return option_group(
        "Which other results",
        option(
            "--compare",
            "pairs",
            nargs=2,
            multiple=True,
            metavar="A B",
            help="The comparison of A and B, as `edgebench compare` names them. Repeatable.",
        ),
        option("--gate", "gates", multiple=True, metavar="ID", help="A gate, by ID; latest: the last one. Repeatable."),
        option("--history", "histories", multiple=True, metavar="NAME", help="A history of gates. Repeatable."),
    )(function)


def chosen(
    ids: tuple[str, ...],
    store: str,
    pairs: tuple[tuple[str, str], ...],
    gates: tuple[str, ...],
    histories: tuple[str, ...],
    filters: dict[str, str | None],
) -> list[Result]:
    """Return the results that the arguments of a command choose."""
    from edgebench.reporting.html import chosen_results
    from edgebench.store import Store

    return chosen_results(
        Store(store),
        ids,
        where=selection_of(filters),
        pairs=pairs,
        gates=gates,
        histories=histories,
        on_unreadable=_warn,
    )


@cloup.command("report")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@selection_options
@result_options
@option_group(
    "Output",
    option("--out", type=_FILE, metavar="FILE", help="Where to write it; -: standard output. [default: report.html]"),
    option("--markdown", is_flag=True, help="Write Markdown, without plots. [default FILE: standard output]"),
    option("--title", metavar="TEXT", help="Title of the page."),
    store_option,
    verbosity_options,
)
def command(
    ids: tuple[str, ...],
    pairs: tuple[tuple[str, str], ...],
    gates: tuple[str, ...],
    histories: tuple[str, ...],
    out: Path | None,
    markdown: bool,
    title: str | None,
    store: str,
    **filters: str | None,
) -> None:
    """Write a page about stored results: the answer in words, tables, plots, and the data as CSV.

    ID is a measurement, a session, or a file of `profile --json`. Default: the latest session. The page is one HTML
    file that opens without a network; it needs the extra `report`, Markdown does not.

    \b
    Example:
      edgebench report --compare xnli-english xnli-multi --out report.html
    """
    from edgebench.reporting.html import report

    target = out or (_STDOUT if markdown else Path("report.html"))
    is_printed = target == _STDOUT
    if is_printed and not markdown:
        raise UsageError("--out -: a page is a file for a browser; name one: --out report.html, or use --markdown")
    check_json_target(str(target))
    results = chosen(ids, store, pairs, gates, histories, filters)
    text = report(
        *results,
        out=None if is_printed else target,
        markdown=markdown,
        title=title,
        store=store,
        command=_own_command(),
    )
    if is_printed:
        click.echo(text, nl=False)
    else:
        click.echo(f"edgebench: {target} written", err=True)


def _own_command() -> str:
    """Return the command that is running, to be shown on the page."""
    return shlex.join(["edgebench", *sys.argv[1:]])


def _warn(error: StoreError) -> None:
    click.echo(f"edgebench: left out: {error}", err=True)
