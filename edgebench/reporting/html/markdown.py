"""A page as Markdown: the answer and the tables, for a comment, an issue or a job summary."""

from __future__ import annotations

from collections.abc import Iterator

from edgebench.reporting.html.page import Block, Command, Heading, Page, TableBlock
from edgebench.reporting.markdown_text import markdown_table, markdown_text
from edgebench.text import printable


def markdown_of(page: Page) -> str:
    """Return the text; plots and files to download are left out."""
    lines = [f"# {markdown_text(page.title)}"]
    if page.warning is not None:
        lines = [f"**{markdown_text(page.warning)}**", "", *lines]
    for answer in page.answers:
        lines += ["", markdown_text(answer)]
    for section in page.sections:
        content = [line for block in section.blocks for line in _lines(block)]
        if content:
            lines += ["", f"## {markdown_text(section.title)}", *content]
    return "\n".join(lines) + "\n"


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Heading():
            yield from ("", f"### {markdown_text(block.text)}")
        case TableBlock():
            yield ""
            yield from markdown_table(block.headers, block.rows)
            yield from ("", markdown_text(block.caption))
        case Command():
            # Four spaces: what stands in it can't end it, as it could end a fence.
            yield from ("", markdown_text(block.about), "", f"    {printable(block.command, 4000)}")
        case str():
            yield from ("", markdown_text(block))
        case _:
            return
