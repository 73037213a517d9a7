"""An index page without a table of contents gets one of all pages in its folder: a new page is found by itself."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

_TOCTREE = "\n\n```{toctree}\n:hidden:\n:glob:\n\n*\n```\n"


def _add_toctree(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname.endswith("/index") and "{toctree}" not in source[0]:
        source[0] += _TOCTREE


def setup(app: Sphinx) -> dict[str, Any]:
    """Complete the pages as Sphinx reads them."""
    app.connect("source-read", _add_toctree)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
