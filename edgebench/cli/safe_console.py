"""The console of tables, progress and live displays: nothing that a text holds acts on the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment

from edgebench.text import harmless


class SafeConsole(Console):
    """A console whose texts are harmless; only rich's own codes reach the terminal, and no links.

    `shows_all_columns`: tables hide none, however narrow it is.
    """

    def __init__(self, *, shows_all_columns: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        self.shows_all_columns = shows_all_columns

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        return super()._render_buffer(_harmless(segment) for segment in buffer)


def _harmless(segment: Segment) -> Segment:
    if segment.control:
        return segment
    style = segment.style
    if style is not None and style.link is not None:
        style = style.update_link(None)
    return Segment(harmless(segment.text), style)
