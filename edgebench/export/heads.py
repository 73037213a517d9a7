"""The heads that can be exported. Every family has all of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edgebench.artifact import HEAD_CLASSES
from edgebench.errors import CheckpointError, UnknownName
from edgebench.export.families import XLM_R, Family


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
    def dimensions(self) -> int:
        """The number of dimensions for one example."""
        return 2 if self in (Answer.TOKEN_LABELS, Answer.STATES) else 1

    @property
    def decides(self) -> bool:
        """Whether the largest value is a decision."""
        return self not in (Answer.STATES, Answer.VECTOR)


class Meaning(StrEnum):
    """What parity is judged by. It depends on the head, the number of labels and config.json's problem_type."""

    CLASS = "class"  # one of several labels per example
    LABELS = "labels"  # any number of labels per example (multi-label): the sign of each logit
    SCORE = "score"  # one logit per example: it ranks them
    REGRESSION = "regression"  # numbers
    CHOICE = "choice"  # one of several sequences per example
    TAGS = "tags"  # one label per token
    VOCABULARY = "vocabulary"  # one of all tokens per token
    POSITIONS = "positions"  # one token per example
    STATES = "states"  # no decision: a direction for each token
    VECTOR = "vector"  # no decision: a direction


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


_LOGITS = {"masked-lm": Answer.TOKEN_LABELS, "token-classification": Answer.TOKEN_LABELS}


def heads_of(family: Family) -> dict[str, Head]:
    """Return the heads of a family, by task."""
    labels = {
        "sequence-classification": family.classifier,
        "token-classification": "classifier.weight",
        "question-answering": "qa_outputs.weight",
    }
    # The pooler does not feed the states; many checkpoints have none.
    arguments = (("add_pooling_layer", False),) if family.has_pooler else ()
    return {
        task: Head(
            task=task,
            architecture=f"{family.classes}{suffix}",
            outputs=_OUTPUTS.get(task, (Output("logits", _LOGITS.get(task, Answer.LABELS)),)),
            labels_weight=labels.get(task),
            has_choices=task == "multiple-choice",
            arguments=arguments if task == "encoder" else (),
        )
        for task, suffix in HEAD_CLASSES.items()
    }


_OUTPUTS = {
    "question-answering": (Output("start_logits", Answer.POSITIONS), Output("end_logits", Answer.POSITIONS)),
    "encoder": (Output("last_hidden_state", Answer.STATES),),
}

#: XLM-R's heads.
HEADS = heads_of(XLM_R)


def find_head(task: str | None, architectures: list[str], *, family: Family = XLM_R, where: str) -> Head:
    """Return a family's head for a task; if task is None, the one that a checkpoint's config names.

    Raises:
        UnknownName: there is no such task.
        CheckpointError: the config names no supported architecture.
    """
    heads = heads_of(family)
    if task is not None:
        if task not in heads:
            raise UnknownName("task", task, heads)
        return heads[task]
    for head in heads.values():
        if head.architecture in architectures:
            return head
    supported = ", ".join(head.architecture for head in heads.values())
    named = ", ".join(architectures) or "no architecture"
    raise CheckpointError(
        f"{where}: its head is not supported ({named}; supported: {supported}); "
        "try: `task='encoder'`, which exports the encoder without it"
    )
