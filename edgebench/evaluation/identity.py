"""The identity of an evaluation: an id for its artifact, device, examples and everything else that decides it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from edgebench.evaluation.embeddings import pooling_of
from edgebench.evaluation.examples import TaskExamples, question_of
from edgebench.evaluation.model import EvaluationTarget
from edgebench.evaluation.request import EvaluationRequest
from edgebench.xtreme_r import MAX_ANSWER_LEN, N_BEST, lengths_of


def identity_of(
    request: EvaluationRequest, target: EvaluationTarget, examples: TaskExamples
) -> tuple[str, dict[str, Any]]:
    """Return the id of an evaluation, and the protocol that the id stands for together with artifact and device."""
    protocol = _protocol(request, target, examples)
    parts = [target.artifact.sha256, target.device.name, examples.task.name, examples.lang, protocol]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40], protocol


def _protocol(request: EvaluationRequest, target: EvaluationTarget, examples: TaskExamples) -> dict[str, Any]:
    artifact, task, facts = target.artifact, examples.task, target.facts
    values: dict[str, Any] = {
        **question_of(request, examples),
        **lengths_of(task, artifact.max_seq_len),
        "batch": request.batch,
        "padding": "bucket" if artifact.format.runtime == "tflite" else "longest",
        "threads": target.threads(request),
        "tokenizer_sha256": target.model.tokenizer_sha256,
        "format": str(artifact.format),
        "runtime": facts.runtime,
        "runtime_version": facts.runtime_version,
        "providers": list(target.board.providers),
        "arch": facts.arch,
    }
    if task.group == "qa":
        values |= {"n_best": N_BEST, "max_answer_len": MAX_ANSWER_LEN, "spans": "run_qa.py of transformers"}
    if task.group == "retrieval":
        values["pooling"] = pooling_of(artifact)
    return values
