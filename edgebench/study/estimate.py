"""How long the rest of a study takes: what is not measured, and what is not scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from edgebench.analysis import LATENCY, run_figures
from edgebench.artifact import format_of_file
from edgebench.evaluation_result import LanguageEvaluation
from edgebench.store import Store
from edgebench.study.cells import StudyCell
from edgebench.study.file import Study, StudyTask
from edgebench.study.scores import PendingEvaluation, Questions

#: (device, task, language) -> seconds an example.
_Pace = Mapping[tuple[str, str | None, str | None], float]


def estimated_scoring_s(
    study: Study,
    cells: Sequence[StudyCell],
    pending: Sequence[PendingEvaluation],
    questions: Questions,
    store: Store,
) -> float | None:
    """Return how long the evaluations that are missing take, seconds, also those of files that are not measured yet.

    At the pace of stored evaluations on the same device, of the same task and language where there are some; else at
    that of its timed inferences. None: a device has neither. Evaluations are made one after the other.
    """
    missing = [(each.device.name, each.task, each.langs) for each in pending]
    missing += _of_files_to_come(study, cells, questions)
    pace = _pace(store.evaluations(), cells) if missing else {}
    total = 0.0
    for device, task, langs in missing:
        for lang in langs:
            keys: tuple[tuple[str, str | None, str | None], ...] = (
                (device, task.name, lang),
                (device, task.name, None),
                (device, None, None),
            )
            example_s = next((pace[key] for key in keys if key in pace), None)
            if example_s is None:
                return None
            total += example_s * questions[task.name, task.name, lang].examples
    return total


def _of_files_to_come(
    study: Study, cells: Sequence[StudyCell], questions: Questions
) -> list[tuple[str, StudyTask, tuple[str, ...]]]:
    """Return the device, task and languages of each file that the study still has to measure."""
    found = []
    for task in study.tasks:
        langs = tuple(lang for name, _, lang in questions if name == task.name)
        for device in task.devices:
            mine = [cell for cell in cells if cell.device.name == device.name]
            measured = {
                (each.subject.variant.name, each.subject.artifact.sha256) for cell in mine for each in cell.measurements
            }
            formats = [
                1 if format_of_file(Path(variant.source)) is not None else max(1, len(study.formats))
                for variant in study.variants
                if not variant.is_reference
            ]
            found += [(device.name, task, langs)] * max(0, sum(formats) - len(measured))
    return found


def _pace(evaluations: Sequence[LanguageEvaluation], cells: Sequence[StudyCell]) -> _Pace:
    seconds: dict[tuple[str, str | None, str | None], list[float]] = {}
    for each in evaluations:
        latency_ms = each.cost.latency_ms.get("mean")
        if latency_ms is not None and each.cost.batch:
            device = each.scores[0].device
            for key in ((device, each.task, each.lang), (device, each.task, None), (device, None, None)):
                seconds.setdefault(key, []).append(latency_ms / 1e3 / each.cost.batch)
    for cell in cells:
        if (cell.device.name, None, None) not in seconds:
            figures = [float(value) for each in cell.measurements for value in run_figures(LATENCY, each)]
            if figures:
                seconds[cell.device.name, None, None] = [mean(figures) / 1e9]
    return {key: mean(values) for key, values in seconds.items()}
