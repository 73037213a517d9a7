"""The scores of a study: which of its measured files have not answered which of its tasks yet, and letting them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgebench.artifact import Artifact
from edgebench.device import Device
from edgebench.errors import EdgebenchError
from edgebench.evaluation.evaluator import evaluate_all
from edgebench.evaluation.examples import questions_of
from edgebench.evaluation.request import EvaluationRequest
from edgebench.evaluation_result import LanguageEvaluation
from edgebench.events import LogMessage, OnEvent
from edgebench.store.store import Store
from edgebench.study.cells import StudyCell
from edgebench.study.file import Study, StudyTask
from edgebench.variant import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingEvaluation:
    """Languages of a task that a measured file has not answered on a device."""

    device: Device
    variant: Variant
    artifact: Artifact
    task: StudyTask
    langs: tuple[str, ...]

    def __str__(self) -> str:
        who = f"{self.variant.name} {self.artifact.format} on {self.device.name}"
        return f"{self.task.name} in {', '.join(self.langs)}: {who}"


def unanswered(study: Study, parts: Sequence[StudyCell], store: Store) -> list[PendingEvaluation]:
    """Return what the files that are measured have not answered; of what is not measured yet, nothing is known.

    Raises:
        EdgebenchError: a task's data can't be read, or the store not.
    """
    if not study.tasks:
        return []
    kept: dict[tuple[str, str], list[LanguageEvaluation]] = {}
    for each in store.evaluations():
        kept.setdefault((each.scores[0].artifact_sha256, each.scores[0].device), []).append(each)
    found = []
    for task in study.tasks:
        questions = questions_of(_request(task, task.devices[0], "", None))
        for device, variant, artifact in _files(task, parts):
            answered = kept.get((artifact.sha256, device.name), [])
            langs = [lang for (_, lang), question in questions.items() if not _has(answered, task.name, lang, question)]
            if langs:
                found.append(
                    PendingEvaluation(device=device, variant=variant, artifact=artifact, task=task, langs=tuple(langs))
                )
    return found


def answer(missing: Sequence[PendingEvaluation], store: Store, on_event: OnEvent) -> list[EdgebenchError]:
    """Let the files answer, one after another; return the errors of those that could not.

    What one of them can't answer does not keep the others from answering.
    """
    errors = []
    for each in missing:
        on_event(LogMessage(str(each)))
        request = _request(each.task, each.device, each.variant.source, each)
        try:
            evaluate_all(request, store=store, on_event=on_event)
        except EdgebenchError as error:
            on_event(LogMessage(f"{each}: {error}"))
            errors.append(error)
    return errors


def _request(task: StudyTask, device: Device, model: str, missing: PendingEvaluation | None) -> EvaluationRequest:
    return EvaluationRequest(
        device=device,
        model=model,
        format=missing.artifact.format if missing is not None else None,
        tasks=(task.name,),
        langs=missing.langs if missing is not None else task.langs,
        data=task.data,
        labels=task.labels,
        split=task.split,
        limit=task.limit,
        seed=task.seed,
        prefix=task.prefix,
        batch=task.batch,
    )


def _files(task: StudyTask, parts: Sequence[StudyCell]) -> list[tuple[Device, Variant, Artifact]]:
    """Return each measured file once for each of the task's devices; random weights have nothing to answer."""
    found: dict[tuple[str, str, str], tuple[Device, Variant, Artifact]] = {}
    wanted = {device.name for device in task.devices}
    for part in parts:
        for each in part.measurements:
            variant, artifact = each.subject.variant, each.subject.artifact
            if part.device.name in wanted and not variant.is_reference:
                found.setdefault((part.device.name, variant.name, artifact.sha256), (part.device, variant, artifact))
    return list(found.values())


def _has(answered: Sequence[LanguageEvaluation], task: str, lang: str, question: Mapping[str, Any]) -> bool:
    return any(
        (each.task, each.lang) == (task, lang) and question.items() <= each.scores[0].protocol.items()
        for each in answered
    )
