"""One encoder with a head for each task, and how rows of each head become batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    DataCollatorForLanguageModeling,
    XLMRobertaForMaskedLM,
    XLMRobertaForMultipleChoice,
    XLMRobertaForQuestionAnswering,
    XLMRobertaForSequenceClassification,
)

if TYPE_CHECKING:
    from tasks import Row, Task
    from transformers import PreTrainedTokenizerBase

MASKED = 0.15  # of the tokens
CLASSES = {
    "pair": XLMRobertaForSequenceClassification,
    "choice": XLMRobertaForMultipleChoice,
    "question": XLMRobertaForQuestionAnswering,
    "text": XLMRobertaForMaskedLM,
}


class SharedEncoder(torch.nn.Module):
    """An encoder and the heads of several tasks on it.

    `carrier` is the encoder with its head for masked words: what goes from phase to phase. Other heads are new in every
    phase, as in Phang et al.
    """

    def __init__(self, checkpoint: str, tasks: Sequence[Task], *, freeze_embeddings: bool = False) -> None:
        super().__init__()
        self.carrier = XLMRobertaForMaskedLM.from_pretrained(checkpoint)
        if freeze_embeddings:
            self.carrier.roberta.embeddings.requires_grad_(False)
        self.heads = torch.nn.ModuleDict()
        for position, task in enumerate(tasks):
            self.heads[str(position)] = self.carrier if task.head == "text" else self._head(task, checkpoint)
        self._positions = {task.name: str(position) for position, task in enumerate(tasks)}

    def _head(self, task: Task, checkpoint: str) -> Any:
        config = self.carrier.config.__class__.from_pretrained(checkpoint)
        config.num_labels = 2  # of a question: where its answer starts, and ends
        if task.labels:
            config.id2label = dict(enumerate(task.labels))
            config.label2id = {label: position for position, label in enumerate(task.labels)}
        head = CLASSES[task.head](config)
        # A multiple-choice model has an extra pooler, so the parts are shared, not the model.
        head.roberta.embeddings, head.roberta.encoder = self.carrier.roberta.embeddings, self.carrier.roberta.encoder
        return head

    def head_of(self, task: str) -> Any:
        """Return the model of transformers that answers a task."""
        return self.heads[self._positions[task]]

    def forward(self, task: str, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        head = self.head_of(task)
        loss = _masked_loss(head, **batch) if head is self.carrier else head(**batch).loss
        return {"loss": loss}


def _masked_loss(
    model: Any, *, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Return the loss over masked tokens alone: logits over 250,002 pieces for every token would take gigabytes."""
    states = model.roberta(input_ids=input_ids, attention_mask=attention_mask)[0]
    wanted = labels != -100
    return torch.nn.functional.cross_entropy(model.lm_head(states[wanted]), labels[wanted])


class Encoder:
    """Makes batches of rows; `max_len` in tokens, special ones included."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, max_len: int, max_len_question: int) -> None:
        self.tokenizer = tokenizer
        self.max_len = max_len
        self.max_len_question = max_len_question
        self._mask = DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASKED)

    def batch(self, task: Task, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """Return a head's arguments, padded to the longest of the rows."""
        return getattr(self, f"_{task.head}")(task, rows)

    def _padded(self, first: Sequence[str], second: Sequence[str] | None = None, **more: Any) -> Any:
        settings = {"max_length": self.max_len, "truncation": True, "padding": True, "return_tensors": "pt"} | more
        encoded = self.tokenizer(list(first), list(second) if second is not None else None, **settings)
        encoded.pop("token_type_ids", None)
        return encoded

    def _pair(self, task: Task, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        encoded = self._padded([row["first"] for row in rows], [row["second"] for row in rows])
        return {**encoded, "labels": torch.tensor([task.labels.index(row["label"]) for row in rows])}

    def _choice(self, task: Task, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        choices = len(rows[0]["choices"])
        encoded = self._padded(
            [row["first"] for row in rows for _ in range(choices)],
            [choice for row in rows for choice in row["choices"]],
        )
        shaped = {name: values.view(len(rows), choices, -1) for name, values in encoded.items()}
        return {**shaped, "labels": torch.tensor([row["label"] for row in rows])}

    def _question(self, task: Task, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """A context is cut where it is too long; an answer that is cut away, or that isn't there, is position 0."""
        encoded = self._padded(
            [row["question"] for row in rows],
            [row["context"] for row in rows],
            max_length=self.max_len_question,
            truncation="only_second",
        )
        spans = [self._answer(encoded, position, row) for position, row in enumerate(rows)]
        starts, ends = (torch.tensor(values) for values in zip(*spans, strict=True))
        return {**encoded, "start_positions": starts, "end_positions": ends}

    def _answer(self, encoded: Any, position: int, row: Row) -> tuple[int, int]:
        if row["start"] < 0:
            return 0, 0
        first = encoded.char_to_token(position, row["start"], sequence_index=1)
        last = encoded.char_to_token(position, row["start"] + len(row["answer"]) - 1, sequence_index=1)
        return (0, 0) if first is None or last is None else (first, last)

    def _text(self, task: Task, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        encoded = self._padded([row["text"] for row in rows], return_special_tokens_mask=True, return_tensors=None)
        return dict(self._mask([dict(zip(encoded, each, strict=True)) for each in zip(*encoded.values(), strict=True)]))
