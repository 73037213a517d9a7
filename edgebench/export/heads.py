"""The heads that can be exported."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edgebench.errors import CheckpointError, UnknownName


class Answer(StrEnum):
    """What an output means, with its shape for one example."""

    LABELS = "labels"  # (labels,): one decision per example
    TOKEN_LABELS = "token labels"  # noqa: S105 - (tokens, labels): one decision per token
    POSITIONS = "positions"  # (tokens,): one decision per example: which token
    STATES = "states"  # (tokens, hidden): no decision; compared after averaging over tokens
    VECTOR = "vector"  # (dimensions,): no decision; one vector per example, compared by its direction

    @property
    def is_per_token(self) -> bool:
        """Whether the first axis is the tokens: what stands for padding means nothing."""
        return self not in (Answer.LABELS, Answer.VECTOR)

    @property
    def decides(self) -> bool:
        """Whether the largest value is a decision."""
        return self not in (Answer.STATES, Answer.VECTOR)


@dataclass(frozen=True, slots=True)
class Output:
    """One output of the exported model, with its name in transformers."""

    name: str
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The layers on top of the encoder.

    Attributes:
        labels_weight: name of the weight that has one row per label.
        has_choices: an example consists of several sequences: inputs [batch, choices, tokens], outputs
            [batch, choices].
        arguments: arguments of the class, in addition to its config.
    """

    task: str
    architecture: str  # the class in transformers
    outputs: tuple[Output, ...]
    labels_weight: str | None = None
    has_choices: bool = False
    arguments: tuple[tuple[str, object], ...] = ()


HEADS = {
    head.task: head
    for head in (
        Head(
            task="sequence-classification",
            architecture="XLMRobertaForSequenceClassification",
            labels_weight="classifier.out_proj.weight",
            outputs=(Output("logits", Answer.LABELS),),
        ),
        Head(
            task="token-classification",
            architecture="XLMRobertaForTokenClassification",
            labels_weight="classifier.weight",
            outputs=(Output("logits", Answer.TOKEN_LABELS),),
        ),
        Head(
            task="question-answering",
            architecture="XLMRobertaForQuestionAnswering",
            labels_weight="qa_outputs.weight",
            outputs=(Output("start_logits", Answer.POSITIONS), Output("end_logits", Answer.POSITIONS)),
        ),
        Head(
            task="multiple-choice",
            architecture="XLMRobertaForMultipleChoice",
            outputs=(Output("logits", Answer.LABELS),),
            has_choices=True,
        ),
        Head(
            task="masked-lm",
            architecture="XLMRobertaForMaskedLM",
            outputs=(Output("logits", Answer.TOKEN_LABELS),),
        ),
        Head(
            task="encoder",
            architecture="XLMRobertaModel",
            outputs=(Output("last_hidden_state", Answer.STATES),),
            # the pooler does not feed the states; many checkpoints have none
            arguments=(("add_pooling_layer", False),),
        ),
    )
}


def find_head(task: str | None, architectures: list[str], *, where: str) -> Head:
    """Return the head for a task; if task is None, the one that a checkpoint's config names.

    Raises:
        UnknownName: there is no such task.
        CheckpointError: the config names no supported architecture.
    """
    if task is not None:
        if task not in HEADS:
            raise UnknownName("task", task, HEADS)
        return HEADS[task]
    for head in HEADS.values():
        if head.architecture in architectures:
            return head
    supported = ", ".join(head.architecture for head in HEADS.values())
    named = ", ".join(architectures) or "no architecture"
    raise CheckpointError(
        f"{where}: its head is not supported ({named}; supported: {supported}); "
        "try: `task='encoder'`, which exports the encoder without it"
    )
