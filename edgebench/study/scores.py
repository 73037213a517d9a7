"""Evaluations of a study: on which tasks its measured files are not evaluated yet, and evaluating them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgebench.artifact import Artifact
from edgebench.device import Device
from edgebench.errors import EdgebenchError
from edgebench.evaluation import EvaluationRequest, evaluate_all, prefix_of, questions_of
from edgebench.evaluation_result import LanguageEvaluation
from edgebench.events import LogMessage, OnEvent
from edgebench.store import Store
from edgebench.study.cells import StudyCell
from edgebench.study.file import Study, StudyTask
from edgebench.variant import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingEvaluation:
    """Languages of a task in which a measured file is not evaluated on a device."""

    device: Device
    variant: Variant
    artifact: Artifact
    task: StudyTask
    langs: tuple[str, ...]

    def __str__(self) -> str:
        who = f"{self.variant.name} {self.artifact.format} on {self.device.name}"
        return f"{self.task.name} in {', '.join(self.langs)}: {who}"


def pending_evaluations(study: Study, cells: Sequence[StudyCell], store: Store) -> list[PendingEvaluation]:
    """Return the evaluations that measured files lack. Files that are not measured yet are not counted.

    Raises:
        EdgebenchError: a task's data can't be read, or the store not.
    """
    if not study.tasks:
        return []
    stored: dict[tuple[str, str], list[LanguageEvaluation]] = {}
    for each in store.evaluations():
        stored.setdefault((each.scores[0].artifact_sha256, each.scores[0].device), []).append(each)
    found = []
    for task in study.tasks:
        questions = questions_of(_request(task, task.devices[0], "", None))
        for device, variant, artifact in _files(task, cells):
            evaluations = stored.get((artifact.sha256, device.name), [])
            langs = [
                lang
                for (_, lang), question in questions.items()
                if not _has(evaluations, task.name, lang, _with_prompt(question, artifact))
            ]
            if langs:
                found.append(
                    PendingEvaluation(device=device, variant=variant, artifact=artifact, task=task, langs=tuple(langs))
                )
    return found


def _with_prompt(question: Mapping[str, Any], artifact: Artifact) -> Mapping[str, Any]:
    """Return the question of a retrieval task with the prompt that `evaluate_all` puts before each text."""
    if "prefix" not in question:
        return question
    return {**question, "prefix": prefix_of(artifact, str(question["prefix"]))}


def evaluate_pending(pending: Sequence[PendingEvaluation], store: Store, on_event: OnEvent) -> list[EdgebenchError]:
    """Evaluate one after another; return the errors of those that failed. A failure does not end the others."""
    errors = []
    for each in pending:
        on_event(LogMessage(str(each)))
        request = _request(each.task, each.device, each.variant.source, each)
        try:
            evaluate_all(request, store=store, on_event=on_event)
        except EdgebenchError as error:
            on_event(LogMessage(f"{each}: {error}"))
            errors.append(error)
    return errors


def _request(task: StudyTask, device: Device, model: str, pending: PendingEvaluation | None) -> EvaluationRequest:
    return EvaluationRequest(
        device=device,
        model=model,
        format=pending.artifact.format if pending is not None else None,
        tasks=(task.name,),
        langs=pending.langs if pending is not None else task.langs,
        data=task.data,
        labels=task.labels,
        split=task.split,
        limit=task.limit,
        seed=task.seed,
        prefix=task.prefix,
        batch=task.batch,
    )


def _files(task: StudyTask, cells: Sequence[StudyCell]) -> list[tuple[Device, Variant, Artifact]]:
    """Return each measured file once for each of the task's devices; random weights are not evaluated."""
    found: dict[tuple[str, str, str], tuple[Device, Variant, Artifact]] = {}
    wanted = {device.name for device in task.devices}
    for cell in cells:
        for each in cell.measurements:
            variant, artifact = each.subject.variant, each.subject.artifact
            if cell.device.name in wanted and not variant.is_reference:
                found.setdefault((cell.device.name, variant.name, artifact.sha256), (cell.device, variant, artifact))
    return list(found.values())


def _has(evaluations: Sequence[LanguageEvaluation], task: str, lang: str, question: Mapping[str, Any]) -> bool:
    return any(
        (each.task, each.lang) == (task, lang) and question.items() <= each.scores[0].protocol.items()
        for each in evaluations
    )
