"""The scripts that draw a page: Vega, Vega-Lite and vega-embed as one text, made by vl-convert and kept."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

from edgebench.errors import MissingExtra
from edgebench.export import cache_folder

_FOLDER = "report"


def drawing_script() -> str:
    """Return the script. Bundling it takes seconds, so it is kept in the cache, one for each version of vl-convert.

    Raises:
        MissingExtra: vl-convert is not installed.
    """
    try:
        import vl_convert
    except ImportError as error:
        raise MissingExtra(error.name or "vl_convert", "report", "a report with plots") from error
    path = cache_folder() / _FOLDER / f"vega-{version('vl-convert-python')}.js"
    if (kept := _kept(path)) is not None:
        return kept
    text: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    _keep(path, text)
    return text


def _kept(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8") or None
    except (OSError, ValueError):
        return None


def _keep(path: Path, text: str) -> None:
    """Keep the script; a cache that can't be written only costs time."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError:
        return
