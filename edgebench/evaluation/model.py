"""The model that answers: its artifact, tokenizer and labels, and the board that it answers on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.artifact import Artifact, Format
from edgebench.device import Device
from edgebench.errors import ConfigError
from edgebench.evaluation.embeddings import check_pooling
from edgebench.evaluation.examples import TaskExamples
from edgebench.evaluation.inference import BoardModel
from edgebench.evaluation.request import EvaluationRequest
from edgebench.events import LogMessage, OnEvent
from edgebench.export import SENTENCE_EMBEDDING, config_folder, export_model, is_sentence_model, open_tokenizer
from edgebench.facts import DeviceFacts
from edgebench.variant import Variant
from edgebench.xtreme_r import Task, head_for, labels_of_checkpoint

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedModel:
    """An artifact, its checkpoint's tokenizer, and by task the meaning of each of its labels."""

    variant: Variant
    artifact: Artifact
    tokenizer: Tokenizer
    labels: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationTarget:
    """A model on a leased board; `facts`: what the board reported of itself and its runtime."""

    device: Device
    model: EvaluatedModel
    board: BoardModel
    facts: DeviceFacts

    @property
    def artifact(self) -> Artifact:
        """What answers."""
        return self.model.artifact

    def threads(self, request: EvaluationRequest) -> int | None:
        """Return the number of threads; None: the runtime decides."""
        return request.threads or self.device.profile.threads or None


def load_model(
    request: EvaluationRequest, format: Format, examples: Sequence[TaskExamples], on_event: OnEvent
) -> EvaluatedModel:
    """Export the request's model, and check that its head, tokenizer and labels fit the tasks.

    Raises:
        ConfigError: they do not fit.
        ExportError: the checkpoint can't be exported.
    """
    tasks = dict.fromkeys(each.task for each in examples)
    is_retrieval = any(task.group == "retrieval" for task in tasks)
    exported = export_model(
        request.model,
        format,
        task=SENTENCE_EMBEDDING if is_retrieval and is_sentence_model(request.model) else None,
        accept_parity=request.accept_parity,
        on_progress=lambda text: on_event(LogMessage(text)),
    )
    artifact = exported.artifact
    for task in tasks:
        _refuse_head(artifact, task)
    if is_retrieval:
        check_pooling(artifact)
    tokenizer = open_tokenizer(artifact)
    folder = config_folder(artifact) or _tokenizer_folder(artifact)
    labels = {task.name: labels_of_checkpoint(folder, task) for task in tasks if has_named_labels(task)}
    return EvaluatedModel(variant=exported.variant, artifact=artifact, tokenizer=tokenizer, labels=labels)


def has_named_labels(task: Task) -> bool:
    """Return whether a model's outputs are labels of the task, which its config.json names (XCOPA has choices)."""
    return bool(task.labels) and task.name != "xcopa"


def _tokenizer_folder(artifact: Artifact) -> Path:
    assert artifact.tokenizer is not None  # noqa: S101 - open_tokenizer has refused that
    return Path(artifact.tokenizer)


def _refuse_head(artifact: Artifact, task: Task) -> None:
    wanted, name = head_for(task)
    if artifact.task == name:
        return
    has = artifact.head or "a head that the file does not name"
    hint = f"try: edgebench export --task {name} --out DIR, and `model` with the folder that it writes"
    raise ConfigError(
        f"{task.title} needs {wanted}; {artifact.model_path} has {has}",
        hint=hint if task.group == "retrieval" else None,
    )
