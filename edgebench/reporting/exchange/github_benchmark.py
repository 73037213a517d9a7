"""JSON for github-action-benchmark: a list for its tools customSmallerIsBetter and customBiggerIsBetter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from edgebench.reporting.exchange.entries import Chosen, Entry, latest_of_each_name, only_valid
from edgebench.reporting.exchange.figures import Better, Figure, Unit
from edgebench.reporting.exchange.json_text import json_text
from edgebench.text import printable

_UNITS = {Unit.PER_SECOND: "1/s", Unit.JOULES: "J", Unit.WATTS: "W", Unit.CELSIUS: "°C"}


def github_benchmark_document(entries: Iterable[Entry], *, better: Better) -> tuple[str, Chosen]:
    """Return the list of the figures of which smaller (or bigger) values are better, and which entries are in it.

    Raises:
        NotValid: no measurement is valid.
    """
    chosen = latest_of_each_name(only_valid(entries))
    return json_text([item for each in chosen.entries for item in _items(each, better)]), chosen


def _items(entry: Entry, better: Better) -> Iterator[dict[str, Any]]:
    extra = _extra(entry)
    for figure in entry.figures:
        if figure.better is better:
            item: dict[str, Any] = {"name": _in_table(f"{entry.name}: {figure.text}"), "unit": _unit(figure)}
            item["value"] = figure.value
            if figure.interval is not None:
                low, high = figure.interval
                item["range"] = f"{low:.6g} to {high:.6g}"
            yield item | {"extra": extra}
    if better is Better.BIGGER:
        for score in entry.scores:
            name = f"{entry.name}: {score.task} {score.lang} {score.metric}"
            yield {"name": _in_table(name), "unit": "points", "value": score.value, "extra": extra}


def _unit(figure: Figure) -> str:
    return _UNITS.get(figure.unit, str(figure.unit))


def _extra(entry: Entry) -> str:
    device = entry.subject.device
    lines = {
        "measurement": entry.subject.id,
        "started": entry.started_at,
        "runs": str(entry.runs),
        "runtime": " ".join(filter(None, (device.runtime, device.runtime_version))),
        "sha256": entry.subject.artifact.sha256,
    }
    return "\n".join(f"{name}: {printable(text)}" for name, text in lines.items() if text)


def _in_table(name: str) -> str:
    """Return a name that stays one cell of the table that the action writes into comments, between backquotes."""
    return printable(name, limit=1000).replace("`", "'").replace("|", "\\|")
