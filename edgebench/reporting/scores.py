"""Scores of XTREME-R as tables: of a folder of predictions, and of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from edgebench.figures import Score
from edgebench.reporting.caveats import caveat_lines, marked
from edgebench.reporting.layout import PlainTable
from edgebench.xtreme_r import ScoreRow, all_tasks, task_scores, task_values, tasks_of

if TYPE_CHECKING:
    from edgebench.xtreme_r import FolderScores


def folder_parts(scores: FolderScores) -> Iterator[PlainTable | str]:
    """Yield what to print of a folder's scores: a row per task, its languages, and what is missing."""
    table = PlainTable(
        *("task", "score", "metric", "languages", "worst language", "n"),
        figures=("score", "n"), hide_first=("metric", "n", "worst language"),
    )  # fmt: skip
    for name, value in scores.tasks.items():
        task = all_tasks()[name]
        mine = [score for score in scores.scores if score.task == name]
        caveats = [caveat for score in mine for caveat in score.caveats]
        of = len(task.langs_in(scores.benchmark))
        there = of - len(scores.missing.get(name, ()))
        table.add_row(
            task.title,
            f"{value:.1f}",
            " and ".join(task.metrics),
            f"{there} of {of} (partial)" if there < of else str(of),
            _worst(task_values(task, [(score.lang, score.metric, score.value) for score in mine])),
            marked(str(sum(score.n for score in mine if score.metric == task.metrics[0])), caveats),
        )
    yield table
    yield from caveat_lines((each.task, each.lang, each.caveats) for each in scores.scores)
    for name in scores.tasks:
        for metric in (*all_tasks()[name].metrics, *all_tasks()[name].more_metrics):
            values = {
                score.lang: score.value for score in scores.scores if (score.task, score.metric) == (name, metric)
            }
            yield f"{name} {metric}: {_by_language(values)}"
    yield _overall(scores)
    yield from scores.notes


def _overall(scores: FolderScores) -> str:
    count = len(tasks_of(scores.benchmark))
    if scores.overall is not None:
        return f"overall ({scores.benchmark}, mean of {count} tasks): {scores.overall:.1f}"
    partial = [name for name in scores.missing if name in {task.name for task in tasks_of(scores.benchmark)}]
    why = [f"no {', '.join(scores.absent)}"] if scores.absent else []
    why += [f"partial: {', '.join(partial)}"] if partial else []
    return f"overall: none, it takes all {count} tasks of {scores.benchmark} in all languages ({'; '.join(why)})"


def rows_parts(rows: Sequence[ScoreRow]) -> Iterator[PlainTable | str]:
    """Yield what to print of a file's rows: a row per variant, format and task, and its languages."""
    table = PlainTable(
        *("variant", "format", "task", "score", "languages", "worst language", "by languages"),
        names=3, figures=("score",), hide_first=("by languages", "worst language", "languages"),
    )  # fmt: skip
    groups: dict[tuple[str, str | None, str | None], list[ScoreRow]] = {}
    for row in rows:
        groups.setdefault((row.variant, row.format, row.artifact_sha256), []).append(row)
    for (variant, format, sha256), mine in groups.items():
        means = task_scores([_score(row) for row in mine])
        for name in dict.fromkeys(row.task for row in mine):
            task = all_tasks()[name]
            values = task_values(task, [(row.lang, row.metric, row.value) for row in mine if row.task == name])
            mean = means.get(name)
            langs = len(mean.langs) if mean else 0
            table.add_row(
                variant,
                " ".join(part for part in (format, sha256 and sha256[:12]) if part) or "-",
                task.title,
                marked(f"{mean.value:.1f}", mean.caveats) if mean else "-",
                f"{langs} of {len(task.langs)}" + (" (partial)" if langs < len(task.langs) else ""),
                _worst(values),
                _by_language(values),
            )
    yield table
    for variant, mine in _by_variant(rows).items():
        for line in caveat_lines((row.task, row.lang, row.caveats) for row in mine):
            yield line if len({row.variant for row in rows}) == 1 else f"{line} ({variant})"
    yield "a task's score is the mean over its languages; of QA, over those with both F1 and EM, which are averaged"


def _score(row: ScoreRow) -> Score:
    return Score(task=row.task, lang=row.lang, metric=row.metric, value=row.value, n=row.n, caveats=row.caveats)


def _by_variant(rows: Sequence[ScoreRow]) -> dict[str, list[ScoreRow]]:
    found: dict[str, list[ScoreRow]] = {}
    for row in rows:
        found.setdefault(row.variant, []).append(row)
    return found


def _by_language(values: Mapping[str, float]) -> str:
    return ", ".join(f"{lang} {value:.1f}" for lang, value in sorted(values.items()))


def _worst(values: Mapping[str, float]) -> str:
    if not values:
        return "-"
    lang = min(values, key=lambda lang: values[lang])
    return f"{lang} {values[lang]:.1f}"
