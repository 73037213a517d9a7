"""The `model-index` of a Hugging Face model card: YAML between two lines of `---`."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from edgebench.errors import UsageError
from edgebench.figures import Score
from edgebench.reporting.exchange.entries import Chosen, Entry, latest_of_each_name, only_valid
from edgebench.reporting.exchange.figures import Figure
from edgebench.text import counted, printable
from edgebench.xtreme_r import all_tasks

#: Groups of tasks -> the Hub's names of tasks.
_HUB_TASKS = {
    "classification": "text-classification",
    "tagging": "token-classification",
    "qa": "question-answering",
    "retrieval": "sentence-similarity",
}
#: The Hub has no task for a latency.
_OTHER = "other"
_PLAIN_KEYS = frozenset(
    ["model-index", "name", "results", "task", "type", "dataset", "config", "args", "metrics", "value"]
)


def model_index_text(entries: Iterable[Entry]) -> tuple[str, Chosen]:
    """Return the front matter of a card about one variant, and which measurements are in it.

    Raises:
        NotValid: no measurement is valid.
        UsageError: they are of several variants; a card is about one.
    """
    chosen = latest_of_each_name(only_valid(entries))
    names = list(dict.fromkeys(each.subject.variant.name for each in chosen.entries))
    if len(names) > 1:
        shown = ", ".join(printable(name, limit=60) for name in names[:6])
        raise UsageError(
            f"a model card is about one model, and these measurements are of {counted(len(names), 'variant')}: {shown}",
            hint="name one with `variant`",
        )
    results = [_measured(each) for each in chosen.entries] + list(_scored(chosen.entries))
    document = {"model-index": [{"name": names[0], "results": results}]}
    return "---\n" + "\n".join(_lines(document, "")) + "\n---\n", chosen


def _measured(entry: Entry) -> dict[str, Any]:
    subject = entry.subject
    device, format = str(subject.device.name or ""), str(subject.artifact.format)
    return {
        "task": {"type": _OTHER, "name": f"Inference on {device}"},
        "dataset": {
            "type": "edgebench-workload",
            "name": subject.label,
            "config": entry.name.removeprefix(f"{subject.variant.name} "),
            "args": {name: value for name, value in subject.workload.items() if value is not None},
        },
        "metrics": [_metric(each, format) for each in entry.figures if each.better is not None],
    }


def _metric(figure: Figure, format: str) -> dict[str, Any]:
    interval = {"interval_95": list(figure.interval)} if figure.interval is not None else {}
    name = f"{figure.text} ({str(figure.unit).replace('_', ' ')})"
    metric: dict[str, Any] = {"type": figure.key, "value": figure.value, "name": name, "config": format}
    return metric | ({"args": interval} if interval else {})


def _scored(entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """Yield one result for each task and language; a score is of a file, which several measurements may share."""
    metrics: dict[tuple[str, str], dict[tuple[str, str], tuple[Score, str]]] = {}
    for entry in entries:
        format = str(entry.subject.artifact.format)
        for score in entry.scores:
            metrics.setdefault((score.task, score.lang), {}).setdefault((score.metric, format), (score, format))
    known = all_tasks()
    for (name, lang), found in metrics.items():
        task = known.get(name)
        hub_task = _HUB_TASKS.get(str(task.group), _OTHER) if task is not None else _OTHER
        title = task.title if task is not None else name
        yield {
            "task": {"type": hub_task, "name": title},
            "dataset": {"type": name, "name": f"{title} ({lang})", "config": lang},
            "metrics": [_score(score, format) for score, format in found.values()],
        }


def _score(score: Score, format: str) -> dict[str, Any]:
    examples = {"args": {"examples": score.n}} if score.n is not None else {}
    name = f"{score.metric} ({format})"
    return {"type": score.metric, "value": score.value, "name": name, "config": format} | examples


def _lines(value: Any, indent: str) -> Iterator[str]:
    """Yield block YAML of mappings, lists and scalars, every text in double quotes."""
    pairs = value.items() if isinstance(value, Mapping) else ((None, each) for each in value)
    for name, each in pairs:
        head = "-" if name is None else f"{_key(name)}:"
        if isinstance(each, (Mapping, list)) and each:
            inner = list(_lines(each, indent + "  "))
            if name is None:
                yield f"{indent}- {inner[0].lstrip(' ')}"
                yield from inner[1:]
            else:
                yield f"{indent}{head}"
                yield from inner
        else:
            yield f"{indent}{head} {_scalar(each)}"


def _key(name: str) -> str:
    return name if name in _PLAIN_KEYS else _quoted(name)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, float) and value == int(value) and abs(value) < 1e15:
        return f"{value:.1f}"
    if isinstance(value, float):
        return _decimal(value)
    return json.dumps(value)


def _decimal(value: float) -> str:
    """Return a number with a point: YAML 1.1 reads `1e-05` as text."""
    shown = repr(value)
    mantissa, exponent, power = shown.partition("e")
    if not exponent:
        return shown
    sign = power[0] if power[0] in "+-" else "+"
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{sign}{power.lstrip('+-')}"


def _quoted(text: str) -> str:
    """Return a double-quoted scalar. A half surrogate pair, which no YAML file can hold, becomes `?`."""
    encodable = text.encode("utf-8", "replace").decode()
    return '"' + "".join(_character(each) for each in encodable) + '"'


def _character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character == "\n":
        return "\\n"
    if unicodedata.category(character) in ("Cc", "Cf", "Co", "Cn", "Zl", "Zp"):
        return f"\\U{ord(character):08X}"
    return character
