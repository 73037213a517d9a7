"""The identity of an evaluation: an id for its artifact, device, examples and everything else that decides it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from edgebench.artifact import Artifact, hash_file
from edgebench.errors import ConfigError
from edgebench.evaluation.embeddings import pooling_of
from edgebench.evaluation.examples import TaskExamples, question_of
from edgebench.evaluation.model import EvaluationTarget, has_named_labels
from edgebench.evaluation.request import EvaluationRequest
from edgebench.export import TOKENIZER_FILES, config_folder, deciding_files
from edgebench.reading import is_folder, parse_json, read_text
from edgebench.xtreme_r import MAX_ANSWER_LEN, N_BEST, Task, labels_of_checkpoint, lengths_of

#: Of a sentence encoder: pooling, layers behind the encoder, and prompts.
_SENTENCE_FILES = ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json")
#: Keys of config.json that say where a checkpoint is from, and change no answer.
_ORIGIN = ("_name_or_path", "transformers_version")


def identity_of(
    request: EvaluationRequest, target: EvaluationTarget, examples: TaskExamples
) -> tuple[str, dict[str, Any]]:
    """Return the id of an evaluation, and the protocol that the id stands for together with artifact and device."""
    protocol = _protocol(request, target, examples)
    parts = [target.artifact.sha256, target.device.name, examples.task.name, examples.lang, protocol]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40], protocol


def checkpoint_protocol(artifact: Artifact, task: Task) -> dict[str, Any]:
    """Return what a checkpoint's small files decide of its answers: tokenizer, labels, configuration.

    The artifact's hash does not cover them: a corrected `id2label` leaves the weights as they are.

    Raises:
        ConfigError: the artifact has no tokenizer, or its config.json does not name the task's labels.
    """
    if artifact.tokenizer is None or not is_folder(Path(artifact.tokenizer)):
        raise ConfigError(f"{artifact.model_path} has no tokenizer")
    folder = Path(artifact.tokenizer)
    settings = config_folder(artifact) or folder
    values: dict[str, Any] = {
        "tokenizer_sha256": _tokenizer_sha256(folder),
        "config_sha256": _config_sha256(folder, settings / "config.json"),
    }
    if artifact.separator is not None:  # of a file that takes token types, which tokenizer_config.json may switch off
        values["separator"] = artifact.separator
    if has_named_labels(task):
        values["labels"] = list(labels_of_checkpoint(settings, task))
    return values


def _tokenizer_sha256(folder: Path) -> str:
    """Return the hash of the tokenizer's file; of a tokenizer of several files, a hash of their hashes."""
    files = deciding_files(folder)
    if not files:
        raise ConfigError(f"{folder} has no tokenizer: none of {', '.join(TOKENIZER_FILES)}")
    hashes = [hash_file(path) for path in files]
    return hashes[0] if len(hashes) == 1 else _hash_of(hashes)


def _config_sha256(folder: Path, config: Path) -> str | None:
    """Return the hash of config.json and of a sentence encoder's modules; None where there are none."""
    paths = [folder / name for name in _SENTENCE_FILES]
    if (folder / _SENTENCE_FILES[0]).is_file():
        paths += sorted(folder.glob("*/config.json"))
    found = {str(path.relative_to(folder)): _settings(path, folder) for path in paths if path.is_file()}
    if config.is_file():
        found["config.json"] = _settings(config, config.parent)
    return _hash_of(found) if found else None


def _settings(path: Path, folder: Path) -> Any:
    try:
        values = parse_json(read_text(path, within=folder))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} can't be read: {error}") from error
    return {key: values[key] for key in values if key not in _ORIGIN} if isinstance(values, dict) else values


def _hash_of(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _protocol(request: EvaluationRequest, target: EvaluationTarget, examples: TaskExamples) -> dict[str, Any]:
    artifact, task, facts = target.artifact, examples.task, target.facts
    values: dict[str, Any] = {
        **question_of(request, examples),
        **lengths_of(task, artifact.max_seq_len),
        **checkpoint_protocol(artifact, task),
        "batch": request.batch,
        "padding": "bucket" if artifact.format.runtime == "tflite" else "longest",
        "threads": target.threads(request),
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
