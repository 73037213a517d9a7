"""edgebench plot: one figure of a report as a picture."""

from __future__ import annotations

from pathlib import Path

import click
import cloup
from cloup import option, option_group

from edgebench.cli.options import store_option, verbosity_options
from edgebench.cli.output import check_json_target
from edgebench.cli.report import chosen, result_options
from edgebench.cli.runs.selection import selection_options
from edgebench.errors import UsageError

_FILE = click.Path(path_type=Path, dir_okay=False)


@cloup.command("plot")
@click.argument("kind", metavar="FIGURE")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@selection_options
@result_options
@option_group(
    "Output",
    option("--png", type=_FILE, metavar="FILE", help="Write a PNG."),
    option("--svg", type=_FILE, metavar="FILE", help="Write an SVG."),
    store_option,
    verbosity_options,
)
def command(
    kind: str,
    ids: tuple[str, ...],
    pairs: tuple[tuple[str, str], ...],
    gates: tuple[str, ...],
    histories: tuple[str, ...],
    png: Path | None,
    svg: Path | None,
    store: str,
    **filters: str | None,
) -> None:
    """Write one figure of a report as a picture, for a paper or a slide.

    FIGURE is distribution, runs, memory, operators, forest, history, languages or time. Of several figures of a kind,
    the first is drawn. ID and the options choose results as in `edgebench report`.

    \b
    Example:
      edgebench plot forest --compare xnli-english xnli-multi --svg forest.svg
    """
    from edgebench.reporting.html import plot

    targets = [(path, suffix) for path, suffix in ((png, ".png"), (svg, ".svg")) if path is not None]
    if not targets:
        raise UsageError(f"name the file to write: --svg {kind}.svg or --png {kind}.png")
    for path, suffix in targets:
        if path.suffix.lower() != suffix:
            raise UsageError(f"--{suffix[1:]} {path}: the name of the file must end in {suffix}")
        check_json_target(str(path))
    results = chosen(ids, store, pairs, gates, histories, filters)
    for path, _ in targets:
        plot(*results, kind=kind, out=path)
        click.echo(f"edgebench: {path} written", err=True)
