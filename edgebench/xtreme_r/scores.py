"""Scores as rows, of edgebench or other tools, and a task's score: the mean over its languages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from edgebench.figures import Score
from edgebench.xtreme_r.caveats import caveats_of
from edgebench.xtreme_r.tasks import Task, all_tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """One row: `task` and `metric` as edgebench names them, `value` 0..100.

    runtime, batch, padding: how the scored model ran. protocol: the tool that scored it, and how. conventions: how
    figures by other conventions may differ. encoder: how the encoder was trained ("frozen", "tuned" ...).
    source, source_sha256: the file that contains the row. caveats: why the value may not mean what it seems to mean, a
    sentence each; `read_scores` and `import_scores` add those that the figures show.
    """

    variant: str
    task: str
    lang: str
    metric: str
    value: float
    format: str | None = None
    artifact_sha256: str | None = None
    n: int | None = None
    source: str | None = None
    runtime: str | None = None
    batch: int | None = None
    padding: str | None = None
    protocol: str | None = None
    conventions: str | None = None
    encoder: str | None = None
    source_sha256: str | None = None
    caveats: tuple[str, ...] = ()

    def with_caveats(self) -> ScoreRow:
        """Return the row with the caveats that its figures show (`caveats_of`) after those that it has."""
        known = caveats_of(self.task, self.lang, self.metric, self.value, self.n, known=self.caveats)
        return replace(self, caveats=known)


def scores_of(rows: Sequence[ScoreRow], *, variant: str, format: str, artifact_sha256: str) -> list[Score]:
    """Return the scores that belong to an artifact of a variant, in the order of the rows.

    A row with an artifact's hash belongs to that artifact alone, one with a format to artifacts in that format. If
    several rows have the same task, language and metric, the most specific one is used. `Score.artifact_sha256` is
    None unless the row itself named this artifact.
    """
    chosen: dict[tuple[str, str, str], ScoreRow] = {}
    for row in rows:
        if row.variant != variant or row.format not in (None, format):
            continue
        if row.artifact_sha256 not in (None, artifact_sha256):
            continue
        key = (row.task, row.lang, row.metric)
        if key not in chosen or _specificity(row) > _specificity(chosen[key]):
            chosen[key] = row
    return [
        Score(
            task=row.task,
            lang=row.lang,
            metric=row.metric,
            value=row.value,
            n=row.n,
            artifact_sha256=row.artifact_sha256,
            source=row.source,
            caveats=row.caveats,
        )
        for row in chosen.values()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScore:
    """A task's mean over the languages that have all of its metrics.

    `of_artifact`: all scores belong to the artifact itself. `caveats`: of any of them.
    """

    task: str
    value: float
    langs: tuple[str, ...]
    of_artifact: bool
    caveats: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every language of the task is in it."""
        return len(self.langs) == len(all_tasks()[self.task].langs)


def task_scores(scores: Sequence[Score]) -> dict[str, TaskScore]:
    """Return each task's score, in the benchmark's order: the mean over languages; QA has the mean of F1 and EM.

    A language of QA with only one of the two is left out: a mean of F1 alone is several points higher.
    """
    result = {}
    for task in all_tasks().values():
        mine = [score for score in scores if score.task == task.name]
        by_lang = {
            lang: {score.metric: score for score in mine if score.lang == lang}
            for lang in dict.fromkeys(score.lang for score in mine)
        }
        scored = {
            lang: {name: found[name] for name in task.metrics if name in found} for lang, found in by_lang.items()
        }
        complete = {lang: found for lang, found in scored.items() if len(found) == len(task.metrics)}
        if complete:
            values = [math.fsum(s.value for s in found.values()) / len(found) for found in complete.values()]
            result[task.name] = TaskScore(
                task=task.name,
                value=math.fsum(values) / len(values),
                langs=tuple(complete),
                of_artifact=all(s.artifact_sha256 is not None for found in complete.values() for s in found.values()),
                caveats=tuple(
                    dict.fromkeys(c for found in complete.values() for s in found.values() for c in s.caveats)
                ),
            )
    return result


def task_values(task: Task, values: Iterable[tuple[str, str, float]]) -> dict[str, float]:
    """Return a task's value in each language that has all of its metrics: their mean (of QA: F1 and EM).

    Args:
        values: language, metric and value; other metrics than the task's are passed over.
    """
    by_lang: dict[str, dict[str, float]] = {}
    for lang, metric, value in values:
        if metric in task.metrics:
            by_lang.setdefault(lang, {})[metric] = value
    return {
        lang: math.fsum(found.values()) / len(found)
        for lang, found in by_lang.items()
        if len(found) == len(task.metrics)
    }


def _specificity(row: ScoreRow) -> tuple[bool, bool]:
    return (row.artifact_sha256 is not None, row.format is not None)
