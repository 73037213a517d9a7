"""A page as one HTML document: everything in it, nothing fetched, and no script but its own two."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import count
from string import Template
from typing import Any

from edgebench._version import __version__
from edgebench.reporting.html.charts.look import CONFIG
from edgebench.reporting.html.escape import as_data_address, as_html, as_script_json
from edgebench.reporting.html.page import Block, Command, Download, Figure, Heading, Page, Rows, Section, TableBlock
from edgebench.reporting.html.scripts import drawing_script
from edgebench.reporting.verdict_style import colour_of

_NO_SCRIPT = "The plots need scripts. The answer and all tables are complete without."


def document_of(page: Page) -> str:
    """Return the document.

    Raises:
        MissingExtra: it has figures, and the library that draws them is not installed.
    """
    figures, numbers = page.figures, count()
    sections = [_section(at, each, numbers) for at, each in enumerate(page.sections)]
    # The text of the library has the end of a script element in strings of its own.
    scripts = [drawing_script().replace("</script", "<\\/script"), _text("page.js")] if figures else []
    return Template(_text("page.html")).substitute(
        title=as_html(page.title),
        allowed=" ".join(f"'sha256-{_digest(each)}'" for each in scripts) or "'none'",
        style=_text("page.css"),
        warning=f'<p class="warning">{as_html(page.warning)}</p>' if page.warning else "",
        answers="\n".join(f"<p>{as_html(each)}</p>" for each in page.answers),
        no_script=f'<noscript><p class="note">{_NO_SCRIPT}</p></noscript>' if figures else "",
        contents="\n".join(
            f'<li><a href="#s{at}">{as_html(each.title)}</a></li>' for at, each in enumerate(page.sections)
        ),
        sections="\n".join(sections),
        made=as_html(f"Made by edgebench {__version__}. Nothing on this page is fetched from elsewhere."),
        data=as_script_json(_data(figures)),
        scripts="\n".join(f"<script>{each}</script>" for each in scripts),
    )


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _section(at: int, section: Section, numbers: Iterator[int]) -> str:
    blocks = "\n".join(_block(each, numbers) for each in section.blocks)
    return f'<section id="s{at}"><h2>{as_html(section.title)}</h2>\n{blocks}\n</section>'


def _block(block: Block, numbers: Iterator[int]) -> str:
    match block:
        case Heading():
            return f"<h3>{as_html(block.text)}</h3>"
        case TableBlock():
            return _table(block)
        case Figure():
            return _figure(block, numbers)
        case Command():
            return f'<p>{as_html(block.about)}</p>\n<pre tabindex="0"><code>{as_html(block.command)}</code></pre>'
        case Download():
            address = as_data_address(block.text, "text/csv")
            link = f'<a download="{as_html(block.name)}" href="{address}">{as_html(block.name)}</a>'
            return f"<p>{link}: {as_html(block.about)}</p>"
        case _:
            return f"<p>{as_html(block)}</p>"


def _table(table: TableBlock) -> str:
    classes = ["number" if header in table.numbers else "" for header in table.headers]
    head = "".join(
        f'<th scope="col" class="{kind}">{as_html(header)}</th>' if header else "<td></td>"
        for header, kind in zip(table.headers, classes, strict=True)
    )
    body = "\n".join(f"<tr>{_row(table, row, classes)}</tr>" for row in table.rows)
    label = as_html(table.caption)
    return (
        f'<div class="table" role="region" tabindex="0" aria-label="{label}"><table><caption>{label}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(table: TableBlock, row: Sequence[str], classes: Sequence[str]) -> str:
    cells = []
    for at, (header, cell, kind) in enumerate(zip(table.headers, row, classes, strict=True)):
        colour = f" {colour_of(cell)}" if header == table.verdict else ""
        tag, scope = ("th", ' scope="row"') if at == 0 else ("td", "")
        cells.append(f'<{tag}{scope} class="{kind}{colour}">{as_html(cell)}</{tag}>')
    return "".join(cells)


def _figure(figure: Figure, numbers: Iterator[int]) -> str:
    plots = "\n".join(
        f'<div class="plot" id="p{next(numbers)}" role="img" aria-label="{as_html(plot.label)}"></div>'
        for plot in figure.plots
    )
    title, caption = as_html(figure.title), as_html(figure.caption)
    return f"<figure><figcaption><strong>{title}.</strong> {caption}</figcaption>\n{plots}\n</figure>"


def _data(figures: Sequence[Figure]) -> dict[str, Any]:
    """Return what the page's script draws: each specification once, and the plots with their data."""
    specs: dict[str, int] = {}
    plots = []
    for figure in figures:
        for plot in figure.plots:
            text = json.dumps(plot.spec, sort_keys=True)
            data = {name: _columns(rows) for name, rows in plot.data.items()}
            plots.append({"spec": specs.setdefault(text, len(specs)), "data": data})
    return {"config": CONFIG, "specs": [json.loads(text) for text in specs], "plots": plots}


def _columns(rows: Rows) -> dict[str, Any]:
    return {"columns": rows.columns, "rows": rows.rows}
