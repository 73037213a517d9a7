"""The ten tasks of XTREME-R: their groups, metrics and languages, as data in data/xtreme_r_tasks.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from edgebench.errors import UnknownName


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task. Its score is the mean over languages of the mean of its `metrics` (QA has two: F1 and EM)."""

    name: str
    title: str
    group: str  # classification, tagging, qa, retrieval
    metrics: tuple[str, ...]
    langs: tuple[str, ...]
    aliases: tuple[str, ...]


@cache
def tasks() -> dict[str, Task]:
    """Return the tasks by name, in the order of the benchmark's table."""
    return {
        name: Task(
            name=name,
            title=values["title"],
            group=values["group"],
            metrics=tuple(values["metrics"]),
            langs=tuple(values["langs"]),
            aliases=tuple(values["aliases"]),
        )
        for name, values in _data()["tasks"].items()
    }


def find_task(name: str) -> Task:
    """Return the task of that name, title or alias, however it is spelled (`TyDiQA-GoldP`, `tydiqa_goldp`).

    Raises:
        UnknownName: there is none.
    """
    found = _task_names().get(_plain(name))
    if found is None:
        raise UnknownName("task", name, tasks())
    return tasks()[found]


def find_metric(task: Task, name: str) -> str:
    """Return the task's metric that `name` means, e.g. `em` for `Exact Match`.

    Raises:
        UnknownName: the task is not scored by it.
    """
    for metric in task.metrics:
        if _plain(name) in {_plain(other) for other in (metric, *_data()["metrics"][metric])}:
            return metric
    raise UnknownName(f"metric of {task.name}", name, task.metrics)


@cache
def _task_names() -> dict[str, str]:
    return {_plain(other): task.name for task in tasks().values() for other in (task.name, task.title, *task.aliases)}


@cache
def _data() -> dict[str, Any]:
    path = resources.files("edgebench").joinpath("data/xtreme_r_tasks.json")
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
