"""How charts look and behave: colours, zoom, the legend that shows and hides a series."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from edgebench.errors import MissingExtra
from edgebench.reporting.html.page import Plot, Rows
from edgebench.text import printable

#: Told apart on white and on near-black, and by most people who see few colours (after Okabe and Ito 2008).
PALETTE = (
    *("#3b82c4", "#e0731d", "#2f9e6e", "#c2559d", "#b08a00", "#7a6ff0"),
    *("#d1495b", "#2a9d9c", "#8a6d3b", "#6b8e23", "#a05eb5", "#7f8c8d"),
)
#: So many series have colours of their own.
MOST_SERIES = len(PALETTE)
GOOD, BAD, OPEN = "#2f9e6e", "#d1495b", "#b08a00"
#: How a chart is zoomed. Without the key the wheel and a finger scroll the page.
ZOOM_HINT = "Shift and the wheel zoom, Shift and dragging moves, a double click resets."
LEGEND_HINT = "A click on a name shows it alone."

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
_INK = "currentColor"
CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": _FONT,
    "axis": {
        **dict.fromkeys(("labelColor", "titleColor", "tickColor", "domainColor", "gridColor"), _INK),
        "gridOpacity": 0.15,
        "labelLimit": 150,
        "titleFontWeight": "normal",
    },
    "legend": {
        **dict.fromkeys(("labelColor", "titleColor"), _INK),
        "orient": "top",
        "direction": "vertical",
        "labelLimit": 250,
        "title": None,
        "symbolType": "circle",
    },
    "text": {"color": _INK},
    "rule": {"color": _INK},
    "view": {"stroke": None},
    "range": {"category": list(PALETTE)},
    "autosize": {"type": "fit-x", "contains": "padding"},
}
_LONG_NAME, _LONG_ROW_NAME = 60, 160
_LINE, _LINE_HEIGHT = 24, 12  # characters, pixels


def altair() -> Any:
    """Return the module that charts are written with.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import altair as found
    except ImportError as error:
        raise MissingExtra(error.name or "altair", "report", "a report with plots") from error
    return found


def shown(name: str) -> str:
    """Return a name as an axis or a legend has it."""
    return printable(name, _LONG_NAME)


def row_label(name: str) -> str:
    """Return a name as an axis of rows has it: in lines, because names often differ at their ends."""
    return "\n".join(textwrap.wrap(printable(name, _LONG_ROW_NAME), _LINE, break_on_hyphens=False))


def lines_of(labels: Iterable[str]) -> str:
    """Return how many lines the longest of these labels has; text, because `plot` passes text on to charts."""
    return str(max(label.count("\n") + 1 for label in labels))


def rows_of(column: str, lines: str) -> Any:
    """Return the encoding of rows whose labels, in this column, are made by `row_label`."""
    alt = altair()
    offset = (1 - int(lines)) * _LINE_HEIGHT / 2  # Vega puts the first line, not the middle one, beside the row
    axis = alt.Axis(labelExpr="split(datum.label, '\\n')", labelLineHeight=_LINE_HEIGHT, labelOffset=offset)
    return alt.Y(f"{column}:N", sort=None, title=None, axis=axis)


def row_height(lines: str, least: int) -> Any:
    """Return the height of a chart of such rows."""
    return altair().Step(max(least, _LINE_HEIGHT * int(lines) + 6))


def plot(chart: Callable[..., Any], label: str, *about: str, height: int | None = None, **data: Rows) -> Plot:
    """Return a plot.

    Args:
        chart: what makes a chart of Altair over named data; made once for all plots of a kind.
        about: what is passed to it.
        height: pixels of the axes; None: as the chart has it.
    """
    return Plot(spec=_spec(chart, about, height), data=data, label=printable(label, 300))


@cache
def _spec(chart: Callable[..., Any], about: tuple[str, ...], height: int | None) -> dict[str, Any]:
    sized = chart(*about).properties(width="container")
    spec: dict[str, Any] = (sized if height is None else sized.properties(height=height)).to_dict(
        validate=False  # takes half of the time; a test validates every chart
    )
    for name in ("$schema", "config"):
        spec.pop(name, None)
    return spec


def named(name: str) -> Any:
    """Return a chart over data of that name."""
    alt = altair()
    return alt.Chart(alt.NamedData(name=name))


def zoom(*encodings: str) -> Any:
    """Return the parameter that zooms these axes."""
    return altair().selection_interval(
        name="zoom",
        bind="scales",
        encodings=list(encodings),
        zoom="wheel![event.shiftKey]",
        translate="[pointerdown[event.shiftKey], window:pointerup] > window:pointermove!",
    )


def tips(*names: str, form: str = ".4~g") -> list[Any]:
    """Return what hovering shows of figures."""
    return [altair().Tooltip(f"{name}:Q", format=form) for name in names]


def legend_switch(alt: Any) -> tuple[Any, Any]:
    """Return the parameter of a legend that is clicked, and the opacity that follows it."""
    chosen = alt.selection_point(name="chosen", fields=["series"], bind="legend")
    return chosen, alt.condition(chosen, alt.value(1), alt.value(0.08))
