"""One page a command, written from the command line's own help: what `--help` shows is what the page shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import cloup
from cloup.formatting import HelpSection
from generated import GeneratedFolder
from sphinx.application import Sphinx

FOLDER = "commands"
_CODE_SPAN = re.compile(r"(`[^`]*`)")
_OPTION = re.compile(r"(?<![\w-])(--[a-z][\w-]*\w)")
_MARKDOWN = re.compile(r"([\\*_\[\]<>|$~{}#])")


@dataclass
class Section:
    """A part of a command's help: its heading, paragraphs and rows of (term, meaning)."""

    heading: str
    paragraphs: list[str] = field(default_factory=list)
    rows: list[tuple[str, str]] = field(default_factory=list)


class SectionCollector(cloup.HelpFormatter):
    """A formatter that collects the sections of a help text instead of laying them out for a terminal."""

    def __init__(self) -> None:
        super().__init__(width=10_000)
        self.usage = ""
        self.sections = [Section("")]

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Collect the usage line."""
        self.usage = f"{prog} {args}".strip()

    def write_heading(self, heading: str, newline: bool = True) -> None:
        """Begin a section."""
        self.sections.append(Section(heading))

    def write_section(self, s: HelpSection, col1_width: int | None = None) -> None:
        """Collect a section of options or commands."""
        self.write_heading(s.heading)
        for text in (s.help, s.constraint):
            if text:
                self.write_text(text)
        self.write_dl(s.definitions)

    def write_text(self, text: str, style: Any = None) -> None:
        """Collect paragraphs."""
        self.sections[-1].paragraphs += [part for part in re.split(r"\n\s*\n", text.strip("\n")) if part.strip()]

    def write_dl(self, rows: Iterable[tuple[str, str | Callable[[int], str]]], *args: Any, **kwargs: Any) -> None:
        """Collect rows; a meaning may depend on the width of the terminal."""
        self.sections[-1].rows += [
            (term, meaning if isinstance(meaning, str) else meaning(self.width)) for term, meaning in rows
        ]

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Begin a section; what follows its end belongs to the section before."""
        self.write_heading(name)
        yield


@dataclass(frozen=True)
class CommandPage:
    """A command, with the context in which its help is asked for."""

    command: click.Command
    context: click.Context

    @property
    def path(self) -> str:
        """The command as it is typed: `edgebench device add`."""
        return self.context.command_path

    @property
    def document(self) -> str:
        """The name of its page: `device-add`."""
        return "-".join(self.path.split()[1:]) or "edgebench"

    def children(self) -> list[CommandPage]:
        """The pages of its sub-commands, in the order of its help."""
        if not isinstance(self.command, click.Group):
            return []
        commands = (
            (name, self.command.get_command(self.context, name)) for name in self.command.list_commands(self.context)
        )
        return [page_of(name, command, self.context) for name, command in commands if command and not command.hidden]

    def markdown(self) -> str:
        """The page's text."""
        collector = SectionCollector()
        self.command.format_help(self.context, collector)
        before, *sections = collector.sections
        children = {child.context.info_name: child for child in self.children()}
        lines = [f"# {self.path}", ""]
        for paragraph in before.paragraphs:
            lines += _paragraph(paragraph)
        lines += ["```text", collector.usage, "```", "", f"```{{program}} {self.path}", "```", ""]
        for section in sections:
            lines += [f"## {section.heading}", ""]
            for paragraph in section.paragraphs:
                lines += _paragraph(paragraph)
            for term, meaning in section.rows:
                if term in children:
                    about = children[term].command.get_short_help_str(limit=500)
                    lines += [f"[`{term}`]({children[term].document}.md)", f": {_escaped(about)}", ""]
                else:
                    lines += [f"````{{option}} {term.replace(' / ', ', ')}", _escaped(meaning), "````", ""]
        if children:
            lines += ["```{toctree}", ":hidden:", *(child.document for child in children.values()), "```", ""]
        return "\n".join(lines)


def page_of(name: str, command: click.Command, parent: click.Context | None = None) -> CommandPage:
    """Return the page of a command that is called by this name."""
    return CommandPage(command, click.Context(command, parent=parent, info_name=name, **command.context_settings))


def all_pages(page: CommandPage) -> Iterator[CommandPage]:
    """Yield a command's page, then those of everything below it."""
    yield page
    for child in page.children():
        yield from all_pages(child)


def _paragraph(text: str) -> list[str]:
    """Return a paragraph of help as Markdown; click marks those that keep their lines by a backspace."""
    if not text.startswith("\b"):
        return [_escaped(" ".join(text.split())), ""]
    first, *others = text.lstrip("\b").strip("\n").splitlines()
    if first.rstrip().endswith(":") and others:
        return [_escaped(first.strip()), "", "```console", *(f"$ {line.strip()}" for line in others), "```", ""]
    return ["```text", first, *others, "```", ""]


def _escaped(text: str) -> str:
    """Return plain text as Markdown; options and what stands in backticks are code."""
    text = _OPTION.sub(r"`\1`", text) if "`" not in text else text
    parts = _CODE_SPAN.split(text) if text.count("`") % 2 == 0 else [text.replace("`", "\\`")]
    return "".join(part if part.startswith("`") else _MARKDOWN.sub(r"\\\1", part) for part in parts)


def _write_pages(app: Sphinx) -> None:
    from edgebench.cli import command

    pages = list(all_pages(page_of("edgebench", command)))
    folder = GeneratedFolder(Path(app.srcdir) / FOLDER)
    for page in pages:
        folder.write("index" if page is pages[0] else page.document, page.markdown())
    folder.remove_others()


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages before Sphinx looks for them."""
    app.connect("builder-inited", _write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
