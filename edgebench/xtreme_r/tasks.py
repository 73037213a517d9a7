"""The ten tasks of XTREME-R, and PAWS-X and BUCC of XTREME, as data in data/xtreme_r_tasks.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from edgebench.errors import UnknownName

XTREME_R = "xtreme-r"
XTREME = "xtreme"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task. Its score is the mean over languages of the mean of its `metrics` (QA has two: F1 and EM).

    `more_metrics` are reported, but are not part of the score. `labels`: all possible answers, for a task with a fixed
    set of them; `_` is what UD writes for a word without a tag. `suffix`: of the files test-LANG.SUFFIX of answers.
    `sizes`: by split and language, how many examples the published set has; empty where releases differ (UDPOS).
    """

    name: str
    title: str
    group: str  # classification, tagging, qa, retrieval
    metrics: tuple[str, ...]
    more_metrics: tuple[str, ...]
    langs: tuple[str, ...]
    langs_since_xtreme_r: tuple[str, ...]
    benchmarks: tuple[str, ...]
    labels: tuple[str, ...]
    suffix: str
    aliases: tuple[str, ...]
    sizes: Mapping[str, Mapping[str, int]] = field(hash=False)

    def size(self, lang: str, split: str = "test") -> int | None:
        """Return how many examples the published set of a split has in a language; None: not known."""
        return self.sizes.get(split, {}).get(lang)

    def langs_in(self, benchmark: str) -> tuple[str, ...]:
        """Return the languages that the benchmark's score of the task is the mean of."""
        if benchmark == XTREME:
            return tuple(lang for lang in self.langs if lang not in self.langs_since_xtreme_r)
        return self.langs


@cache
def all_tasks() -> dict[str, Task]:
    """Return the tasks by name: XTREME-R's in the order of its table, then those that only XTREME has."""
    return {
        name: Task(
            name=name,
            title=values["title"],
            group=values["group"],
            metrics=tuple(values["metrics"]),
            more_metrics=tuple(values.get("more_metrics", ())),
            langs=tuple(values["langs"]),
            langs_since_xtreme_r=tuple(values.get("langs_since_xtreme_r", ())),
            benchmarks=tuple(values["benchmarks"]),
            labels=tuple(values.get("labels", ())),
            suffix=values["suffix"],
            aliases=tuple(values["aliases"]),
            sizes={
                split: _by_language(values[f"{split}_size"], values["langs"])
                for split in ("test", "dev")
                if f"{split}_size" in values
            },
        )
        for name, values in _data()["tasks"].items()
    }


def tasks_of(benchmark: str) -> tuple[Task, ...]:
    """Return the tasks that are part of a benchmark: the ten of XTREME_R, the nine of XTREME."""
    return tuple(task for task in all_tasks().values() if benchmark in task.benchmarks)


def find_task(name: str) -> Task:
    """Return the task of that name, title or alias, however it is spelled (`TyDiQA-GoldP`, `tydiqa_goldp`).

    Raises:
        UnknownName: there is no such task.
    """
    found = _task_names().get(_plain(name))
    if found is None:
        raise UnknownName("task", name, all_tasks())
    return all_tasks()[found]


def find_metric(task: Task, name: str) -> str:
    """Return the task's metric that `name` means, e.g. `em` for `Exact Match`.

    Raises:
        UnknownName: the task is not scored by it.
    """
    for metric in (*task.metrics, *task.more_metrics):
        if _plain(name) in {_plain(other) for other in (metric, *_data()["metrics"][metric])}:
            return metric
    raise UnknownName(f"metric of {task.name}", name, task.metrics)


def _by_language(size: int | dict[str, int], langs: list[str]) -> dict[str, int]:
    return dict.fromkeys(langs, size) if isinstance(size, int) else size


@cache
def _task_names() -> dict[str, str]:
    return {
        _plain(other): task.name for task in all_tasks().values() for other in (task.name, task.title, *task.aliases)
    }


@cache
def _data() -> dict[str, Any]:
    path = resources.files("edgebench").joinpath("data/xtreme_r_tasks.json")
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
