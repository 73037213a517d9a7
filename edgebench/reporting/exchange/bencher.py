"""Bencher Metric Format: a JSON object of benchmarks, each an object of measures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from edgebench.reporting.exchange.entries import Chosen, Entry, latest_of_each_name, only_valid
from edgebench.reporting.exchange.figures import Figure, Unit, scaled
from edgebench.reporting.exchange.json_text import json_text

#: Bencher's own measures, with the units that it expects, and what these are here.
_OWN_MEASURES = {"latency-p50": "latency"}
_NS_PER_MS = 1e6
_LONGEST_NAME_BYTES = 1024
_LONGEST_MEASURE = 64


def bencher_document(entries: Iterable[Entry]) -> tuple[str, Chosen]:
    """Return the document, and what is in it: the latest valid measurement of each name.

    Raises:
        NotValid: none is valid.
    """
    chosen = latest_of_each_name(only_valid(entries))
    document = {_shortened(each.name, _LONGEST_NAME_BYTES): _measures(each) for each in chosen.entries}
    return json_text(document), chosen


def _measures(entry: Entry) -> dict[str, Any]:
    figures = {_OWN_MEASURES.get(each.name, each.name): _metric(each) for each in entry.figures if each.better}
    scores = {
        _shortened(f"score-{each.task}-{each.lang}-{each.metric}", _LONGEST_MEASURE): {"value": each.value}
        for each in entry.scores
    }
    return figures | scores


def _metric(figure: Figure) -> dict[str, float]:
    factor = _NS_PER_MS if figure.unit is Unit.MS else 1.0
    metric = {"value": scaled(figure.value, factor)}
    if figure.interval is not None:
        low, high = figure.interval
        metric |= {"lower_value": scaled(low, factor), "upper_value": scaled(high, factor)}
    return metric


def _shortened(name: str, most_bytes: int) -> str:
    """Return a name that Bencher takes; one that is too long ends with its hash, so that it stays a name of its own."""
    encoded = name.encode("utf-8", "replace")
    if len(encoded) <= most_bytes:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:12]
    return encoded[: most_bytes - len(digest) - 1].decode("utf-8", "ignore") + "-" + digest
