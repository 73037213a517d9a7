"""Evaluations of a study: on which tasks its measured files are not evaluated yet, and evaluating them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgebench.artifact import Artifact
from edgebench.device import Device
from edgebench.errors import EdgebenchError
from edgebench.evaluation import (
    EvaluationRequest,
    checkpoint_protocol,
    evaluate_all,
    prefix_of,
    questions_and_counts,
)
from edgebench.evaluation_result import LanguageEvaluation
from edgebench.events import LogMessage, OnEvent
from edgebench.reading import is_folder
from edgebench.store import Store
from edgebench.study.cells import StudyCell
from edgebench.study.file import Study, StudyTask
from edgebench.variant import Variant
from edgebench.xtreme_r import find_task


@dataclass(frozen=True, slots=True)
class Question:
    """What a task asks in one language: the protocol that every answer must have, and how many examples there are."""

    protocol: Mapping[str, Any]
    examples: int


#: (name of the study's task, the task's name in an evaluation, language) -> question.
Questions = Mapping[tuple[str, str, str], Question]


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


def questions_of_study(study: Study) -> Questions:
    """Return what the tasks of a study ask, in each of their languages.

    Raises:
        EdgebenchError: a task's data can't be read.
    """
    return {
        (task.name, name, lang): Question(protocol, count)
        for task in study.tasks
        for (name, lang), (protocol, count) in questions_and_counts(_request(task, task.devices[0], "", None)).items()
    }


def pending_evaluations(
    study: Study, cells: Sequence[StudyCell], store: Store, questions: Questions | None = None
) -> list[PendingEvaluation]:
    """Return the evaluations that measured files lack. Files that are not measured yet are not counted.

    Args:
        questions: of `questions_of_study`; None: they are read.

    Raises:
        EdgebenchError: a task's data can't be read, or the store not.
    """
    if not study.tasks:
        return []
    asked = questions_of_study(study) if questions is None else questions
    stored: dict[tuple[str, str], list[LanguageEvaluation]] = {}
    for each in store.evaluations():
        stored.setdefault((each.scores[0].artifact_sha256, each.scores[0].device), []).append(each)
    found = []
    for task in study.tasks:
        of_task = {(name, lang): question.protocol for (of, name, lang), question in asked.items() if of == task.name}
        for device, variant, artifact in _files(task, cells):
            evaluations = stored.get((artifact.sha256, device.name), [])
            checkpoint = _checkpoint_protocol(artifact, task.name)
            langs = [
                lang
                for (name, lang), question in of_task.items()
                if not _has(evaluations, name, lang, {**with_prompt(question, artifact), **checkpoint})
            ]
            if langs:
                found.append(
                    PendingEvaluation(device=device, variant=variant, artifact=artifact, task=task, langs=tuple(langs))
                )
    return found


def with_prompt(question: Mapping[str, Any], artifact: Artifact) -> Mapping[str, Any]:
    """Return the question of a retrieval task with the prompt that `evaluate_all` puts before each text.

    Where the checkpoint's files are gone or can't be read, any prompt fits: the question says nothing of it.
    """
    if question.get("prefix") != "":
        return question
    rest = {name: value for name, value in question.items() if name != "prefix"}
    if artifact.tokenizer is not None and not is_folder(Path(artifact.tokenizer)):
        return rest
    try:
        return {**rest, "prefix": prefix_of(artifact, "")}
    except EdgebenchError:
        return rest


def evaluate_pending(
    study: Study, pending: Sequence[PendingEvaluation], store: Store, on_event: OnEvent
) -> list[EdgebenchError]:
    """Evaluate one after another; return the errors of those that failed. A failure does not end the others."""
    errors = []
    for each in pending:
        on_event(LogMessage(str(each)))
        request = replace(
            _request(each.task, each.device, each.variant.source, each),
            wait_idle_s=study.wait_idle_s,
            accept_parity=study.accept_parity,
        )
        try:
            evaluate_all(request, store=store, on_event=on_event)
        except EdgebenchError as error:
            on_event(LogMessage(f"{each}: {error}"))
            errors.append(error)
    return errors


def within_reach(pending: Sequence[PendingEvaluation], on_event: OnEvent) -> list[PendingEvaluation]:
    """Return the evaluations on boards that an edgebench.toml of this machine names; report the others."""
    found = [each for each in pending if each.device.host is not None]
    for each in pending:
        if each.device.host is None:
            on_event(
                LogMessage(
                    f"not evaluated: {each}: this machine does not reach the board; on a host that does: "
                    f"edgebench study run, with --executor local"
                )
            )
    return found


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


def _checkpoint_protocol(artifact: Artifact, task: str) -> dict[str, Any]:
    """Return what the checkpoint's files say today; nothing where they are gone, or do not fit the task."""
    try:
        return checkpoint_protocol(artifact, find_task(task))
    except EdgebenchError:
        return {}


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
