"""One figure as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgebench.errors import MissingExtra, UnknownName, UsageError
from edgebench.reporting.html.charts.look import CONFIG
from edgebench.reporting.html.page import Figure, Plot

KINDS = ("distribution", "runs", "memory", "operators", "forest", "history", "front", "languages", "time")
_SUFFIXES = (".png", ".svg")
_WIDTH = 640  # pixels of the axes
_SCALE = 3  # of a PNG, for print
_INK = "#1b2027"


def check_picture(path: Path, kind: str) -> None:
    """Check what is requested before anything is read.

    Raises:
        UsageError: the file is neither PNG nor SVG, or there is no such figure.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"{path}: a figure is written as PNG or SVG; name the file so: {path.stem or 'figure'}.svg")
    if kind not in KINDS:
        raise UnknownName("figure", kind, KINDS)


def picture_of(figures: Sequence[Figure], *, kind: str, suffix: str) -> bytes:
    """Return the first figure of that kind as a picture; its plots stand one below the other.

    Raises:
        UsageError: the results have no such figure.
        MissingExtra: vl-convert is not installed.
    """
    figure = next((figure for figure in figures if figure.kind == kind), None)
    if figure is None:
        there = sorted({figure.kind for figure in figures})
        known = f"; they have: {', '.join(there)}" if there else ""
        raise UsageError(f"these results have no figure {kind!r}{known}")
    try:
        import vl_convert
    except ImportError as error:
        raise MissingExtra(error.name or "vl_convert", "report", "a figure") from error
    spec = _spec(figure)
    if suffix.lower() == ".svg":
        return str(vl_convert.vegalite_to_svg(spec)).encode()
    return bytes(vl_convert.vegalite_to_png(spec, scale=_SCALE))


def _spec(figure: Figure) -> dict[str, Any]:
    """Return a specification with its data, in dark ink on white."""
    config = _inked({name: value for name, value in CONFIG.items() if name != "autosize"})
    parts = [_inked(_with_data(plot)) for plot in figure.plots]
    body = parts[0] if len(parts) == 1 else {"vconcat": parts, "resolve": {"legend": {"color": "independent"}}}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        **body,
        "config": config | {"background": "white"},
        "title": {"text": figure.title, "anchor": "start", "fontSize": 13},
    }


def _with_data(plot: Plot) -> dict[str, Any]:
    inline = {
        name: [dict(zip(rows.columns, row, strict=True)) for row in rows.rows] for name, rows in plot.data.items()
    }
    filled: dict[str, Any] = _filled(plot.spec, inline)
    return filled | {"width": _WIDTH}


def _filled(value: Any, data: dict[str, Any]) -> Any:
    """Return a specification with the values of its named data in it: parts of several plots have the same names."""
    if isinstance(value, list):
        return [_filled(each, data) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"name"} and value["name"] in data:
        return {"values": data[value["name"]]}
    # A picture has no zoom and no switch: what depends on one looks as it does before a click.
    if isinstance(condition := value.get("condition"), dict) and "param" in condition:
        return {"value": condition["value"]}
    return {key: _filled(each, data) for key, each in value.items() if key != "params"}


def _inked(value: Any) -> Any:
    if isinstance(value, list):
        return [_inked(each) for each in value]
    if isinstance(value, dict):
        return {key: _inked(each) for key, each in value.items()}
    return _INK if value == "currentColor" else value
