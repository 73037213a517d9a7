"""The heads that can be exported: one row each."""

from __future__ import annotations

from dataclasses import dataclass

from edgebench.errors import CheckpointError, UnknownName


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What sits on the encoder. `arguments` are the class's, beside its config.

    `output` is the name of what the exported model returns; `pooled` says that parity compares mean-pooled states
    (there are no labels), else logits.
    """

    task: str
    architecture: str  # the class in transformers
    output: str
    pooled: bool
    arguments: tuple[tuple[str, object], ...] = ()


HEADS = {
    head.task: head
    for head in (
        Head(
            task="sequence-classification",
            architecture="XLMRobertaForSequenceClassification",
            output="logits",
            pooled=False,
        ),
        Head(
            task="encoder",
            architecture="XLMRobertaModel",
            output="last_hidden_state",
            pooled=True,
            # the pooler does not feed the states; many checkpoints have none
            arguments=(("add_pooling_layer", False),),
        ),
    )
}


def find_head(task: str | None, architectures: list[str], *, where: str) -> Head:
    """Return the head for a task, or (None) the one that a checkpoint's config names.

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
        "try: --task encoder, which exports the encoder without it"
    )
