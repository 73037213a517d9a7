"""From examples to scores: encode them, let the model on the board answer, decode the outputs, score the answers."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from edgebench.analysis import with_caveats
from edgebench.artifact import Artifact
from edgebench.errors import ConfigError
from edgebench.evaluation.costs import cost_of_answers
from edgebench.evaluation.embeddings import vectors_in
from edgebench.evaluation.examples import TaskExamples
from edgebench.evaluation.inference import Inferred
from edgebench.evaluation.model import EvaluationTarget
from edgebench.evaluation.outputs import refuse_quantised, require_names
from edgebench.evaluation.request import EvaluationRequest
from edgebench.evaluation_result import LanguageEvaluation, TaskEvaluation
from edgebench.events import Answering, LogMessage, OnEvent
from edgebench.measure import PROGRESS_EVERY_S, RunCollector, resolve_workload
from edgebench.stats import bootstrap_interval
from edgebench.text import counted
from edgebench.workload import EncodedInputs, Workload
from edgebench.xtreme_r import (
    Candidate,
    MetricScore,
    Row,
    Task,
    TaskInputs,
    answer_caveats,
    decode,
    encode_candidates,
    encode_examples,
    rank,
    score_answers,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_REPORT_EVERY = 500  # inferences


@dataclass(frozen=True, slots=True)
class Answerer:
    """Lets one model on one board answer examples, and scores the answers.

    `vectors` keeps the vectors and token counts of candidates, which several languages share.
    """

    request: EvaluationRequest
    target: EvaluationTarget
    on_event: OnEvent
    vectors: dict[str, tuple[NDArray[np.float32], list[int]]] = field(default_factory=dict)

    def answer(self, examples: TaskExamples, *, id: str, protocol: dict[str, Any]) -> LanguageEvaluation:
        """Answer and score a task's examples in one language; `id`, `protocol`: see `identity_of`.

        Raises:
            RunFailed, BoardError, AgentError, ConnectionLost: the board could not answer.
            ConfigError: the tokenizer or the outputs do not fit the task.
        """
        task, model, request = examples.task, self.target.model, self.request
        inputs = encode_examples(
            model.tokenizer,
            task,
            examples.examples,
            longest=model.artifact.max_seq_len,
            prefix=request.prefix,
        )
        count = len(examples.examples)
        self._log(f"{examples.name}: {counted(count, 'example')}, {counted(len(inputs.owners), 'inference')}")
        inferred = self._infer(inputs, reduce=task.group == "retrieval", name=examples.name)
        if task.group != "retrieval":
            needed = ("start_logits", "end_logits") if task.group == "qa" else ("logits",)
            require_names(list(inferred.batches[0]), needed, source=inferred.source)
            if task.group == "qa":  # whose logits are added; the largest of several is the same in any scale
                refuse_quantised(inferred.batches, needed, source=inferred.source)
        labels = model.labels.get(task.name, ())
        english_tokens: float | None = None
        if task.group == "retrieval":
            predictions, english_tokens = self._retrieve(examples, inferred)
        else:
            predictions = decode(task, examples.examples, inputs, list(_rows(inferred)), labels)
        caveats = answer_caveats(task, examples.examples, predictions, labels)
        scores = score_answers(task, examples.examples, predictions, seqeval=request.seqeval)
        return LanguageEvaluation(
            id=id,
            started_at=inferred.run.started_at,
            scores=tuple(self._task_evaluation(examples, protocol, score, caveats) for score in scores),
            predictions=tuple(predictions),
            tokens=_int_array(inputs.tokens_of_examples(count)),
            cost=cost_of_answers(
                examples.examples,
                inputs,
                inferred.run,
                tokenizer=model.tokenizer,
                batch=request.batch,
                english_tokens=english_tokens,
            ),
        )

    def _infer(self, inputs: TaskInputs, *, reduce: bool, name: str) -> Inferred:
        artifact = self.target.artifact
        encoded = _encoded(inputs.sequences)
        _refuse_ids(artifact, encoded)
        workload = resolve_workload(
            artifact,
            Workload(
                seq_len=int(encoded.lengths.max()),
                batch=min(self.request.batch, len(inputs.owners)),
                threads=self.target.threads(self.request),
                choices=inputs.choices if inputs.choices > 1 else None,
            ),
        )
        return self.target.board.infer(
            workload,
            encoded,
            reduce="mean" if reduce else "",
            warm_shapes=True,
            watch=self._progress_reporter(name, inputs),
        )

    def _progress_reporter(self, name: str, inputs: TaskInputs) -> Callable[[RunCollector], None]:
        reported, last_s, began_s = 0, -math.inf, 0.0
        inferences = -(-len(inputs.owners) // self.request.batch)

        def report(collector: RunCollector) -> None:
            nonlocal reported, last_s, began_s
            now_s, count = time.monotonic(), collector.count
            if not count:
                began_s = now_s
            if now_s - last_s >= PROGRESS_EVERY_S:
                last_s = now_s
                left_s = (now_s - began_s) / count * max(0, inferences - count) if count else None
                temperature_mc = collector.temperature_mc
                self.on_event(Answering(name, count, inferences, collector.phase, temperature_mc, left_s))
            if count - reported >= _REPORT_EVERY:
                reported = count
                self._log(f"{name}: {count} of {inferences}")

        return report

    def _retrieve(self, examples: TaskExamples, inferred: Inferred) -> tuple[list[list[str]], float | None]:
        """Return each query's ranking, and the mean tokens of its English counterpart if the task names one."""
        import numpy as np

        queries = examples.examples
        vectors, tokens = self._candidate_vectors(examples.task, queries.candidates)
        found = vectors_in(inferred.batches, self.target.artifact, source=inferred.source)
        rankings = rank(examples.task, queries, found, vectors)
        if examples.task.name != "tatoeba" or queries.labels is None:
            return rankings, None
        position = {candidate.id: at for at, candidate in enumerate(queries.candidates)}
        right = [tokens[position[label[0]]] for label in queries.labels if isinstance(label, tuple)]
        return rankings, float(np.mean(right))

    def _candidate_vectors(self, task: Task, candidates: Sequence[Candidate]) -> tuple[NDArray[np.float32], list[int]]:
        key = hashlib.sha256("\0".join(f"{each.text}\0{each.context}" for each in candidates).encode()).hexdigest()
        if (found := self.vectors.get(key)) is not None:
            return found
        artifact = self.target.artifact
        inputs = encode_candidates(
            self.target.model.tokenizer,
            task,
            candidates,
            longest=artifact.max_seq_len,
            prefix=self.request.prefix,
        )
        self._log(f"{task.name}: {len(candidates)} candidates")
        inferred = self._infer(inputs, reduce=True, name=f"{task.name} candidates")
        made = vectors_in(inferred.batches, artifact, source=inferred.source)
        self.vectors[key] = made, [len(sequence) for sequence in inputs.sequences]
        return self.vectors[key]

    def _task_evaluation(
        self, examples: TaskExamples, protocol: dict[str, Any], score: MetricScore, caveats: Sequence[str]
    ) -> TaskEvaluation:
        model = self.target.model
        evaluation = TaskEvaluation(
            task=examples.task.name,
            lang=examples.lang,
            metric=score.metric,
            value=score.value,
            n=len(examples.examples),
            ids=examples.examples.ids,
            per_example=score.per_example,
            counts=score.counts,
            clusters=examples.examples.clusters(),
            protocol=protocol,
            artifact_sha256=model.artifact.sha256,
            variant=model.variant.name,
            format=str(model.artifact.format),
            device=self.target.device.name,
            caveats=tuple(caveats),
        )
        evaluation = with_caveats(evaluation)
        ci = bootstrap_interval(evaluation.units, evaluation.resampled, seed=self.request.seed)
        return replace(evaluation, ci=ci)

    def _log(self, text: str) -> None:
        self.on_event(LogMessage(text))


def _refuse_ids(artifact: Artifact, encoded: EncodedInputs) -> None:
    vocabulary, highest = artifact.vocab_size, int(encoded.ids.max())
    if vocabulary is not None and highest >= vocabulary:
        raise ConfigError(
            f"the tokenizer in {artifact.tokenizer} gives the id {highest} and the model has "
            f"{vocabulary} embeddings: it belongs to another checkpoint; put the model's own there"
        )


def _rows(inferred: Inferred) -> Iterator[Row]:
    for batch in inferred.batches:
        for at in range(len(next(iter(batch.values())))):
            yield {name: values[at] for name, values in batch.items()}


def _encoded(sequences: Sequence[Sequence[int]]) -> EncodedInputs:
    import numpy as np

    ids = np.concatenate([np.asarray(sequence, np.int32) for sequence in sequences])
    return EncodedInputs(ids, np.asarray([len(sequence) for sequence in sequences], np.int32))


def _int_array(values: Sequence[int]) -> NDArray[np.int64]:
    import numpy as np

    return np.asarray(values, np.int64)
