"""Inputs of an artifact under a workload: checked, tokenised and put in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgebench.artifact import Artifact
from edgebench.errors import ConfigError
from edgebench.export import encode_texts
from edgebench.workload import EncodedInputs, Padding, Scenario, Workload, random_inputs

_MULTIPLE_CHOICE = "multiple-choice"
_CHOICES = 2  # XCOPA's


def resolve_workload(artifact: Artifact, workload: Workload) -> Workload:
    """Return the workload with what the artifact determines: sequences of an example, and padding.

    Raises:
        ConfigError: the artifact can't run it.
    """
    if artifact.format.runtime == "tflite":
        refuse_batch(str(artifact.format), workload)
        workload = replace(workload, padding=Padding.BUCKET)
    longest, needed = artifact.max_seq_len, max(workload.token_counts(), default=0)
    if longest is not None and needed > longest:
        what = "the longest that it is made for" if artifact.buckets else "what the model takes"
        raise ConfigError(f"{artifact.model_path}: an input of {needed} tokens is longer than {longest}, {what}")
    return replace(workload, choices=_choices(artifact, workload))


def refuse_batch(format: str, workload: Workload) -> None:
    """Raise ConfigError for a batch of several examples in a format that takes one at a time."""
    if workload.batch > 1:
        raise ConfigError(
            f"{format} takes one input at a time, not batches of {workload.batch}",
            hint="try `batch=1`, or an ONNX format",
        )


def _choices(artifact: Artifact, workload: Workload) -> int | None:
    """Return how many sequences an example has; None for one, as all heads but multiple choice have."""
    if artifact.choices is not None and workload.choices not in (None, artifact.choices):
        raise ConfigError(f"{artifact.model_path} is made for {artifact.choices} choices, not {workload.choices}")
    if artifact.head is None:
        return workload.choices  # an existing file: the board says whether it fits
    if artifact.task != _MULTIPLE_CHOICE:
        if workload.choices not in (None, 1):
            raise ConfigError(
                f"{artifact.head} takes one sequence an example", hint=f"leave `choices={workload.choices}` out"
            )
        return None
    return workload.choices or artifact.choices or _CHOICES


def encode(artifact: Artifact, workload: Workload) -> EncodedInputs:
    """Return the token ids of a resolved workload's sequences, those of an example next to each other.

    Offline, inputs may run in any order: they are sorted by length, so that batches need little padding. In
    multi-stream, each query has the same number of inputs: the last query is filled up with the first inputs.

    Raises:
        ConfigError: texts are too long, or their number is no multiple of the choices.
    """
    choices = workload.choices or 1
    if workload.texts is not None:
        _check_examples(workload.texts, choices)
        encoded = encode_texts(artifact, workload.texts, truncate=workload.truncate)
    else:
        counts = [count for count in workload.token_counts() for _ in range(choices)]
        encoded = random_inputs(counts, vocab_size=artifact.vocab_size)
    match workload.scenario:
        case Scenario.OFFLINE:
            return _sort_by_length(encoded, choices)
        case Scenario.MULTI_STREAM:
            return _fill_up(encoded, workload.batch * choices)
        case _:
            return encoded


def _fill_up(inputs: EncodedInputs, sequences: int) -> EncodedInputs:
    """Return the inputs, followed by the first ones until each query has so many sequences."""
    import numpy as np

    missing = -len(inputs.lengths) % sequences
    ids = inputs.ids[: int(inputs.lengths[:missing].sum())]
    return EncodedInputs(np.concatenate([inputs.ids, ids]), np.concatenate([inputs.lengths, inputs.lengths[:missing]]))


def _sort_by_length(inputs: EncodedInputs, choices: int) -> EncodedInputs:
    """Return the examples sorted by their longest sequence, ascending."""
    import numpy as np

    sequences = np.split(inputs.ids, np.cumsum(inputs.lengths)[:-1])
    examples = [sequences[at : at + choices] for at in range(0, len(sequences), choices)]
    examples.sort(key=lambda example: max(len(sequence) for sequence in example))
    ordered = [sequence for example in examples for sequence in example]
    return EncodedInputs(np.concatenate(ordered), np.array([len(sequence) for sequence in ordered], np.int32))


def _check_examples(texts: Sequence[str], choices: int) -> None:
    if len(texts) % choices:
        raise ConfigError(
            f"{len(texts)} texts are no multiple of {choices} choices: each example takes {choices} lines"
        )
