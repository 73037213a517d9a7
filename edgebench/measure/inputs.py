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
    refuse_length(workload, artifact.max_seq_len, where=str(artifact.model_path))
    return replace(workload, choices=_choices(artifact, workload))


def refuse_length(workload: Workload, longest: int | None, *, where: str) -> None:
    """Raise ConfigError if an input of a workload has more tokens than a model takes, and is not to be cut.

    Args:
        longest: what the model takes; None: that is not known here.
        where: the model, for the message.
    """
    lengths = workload.token_counts()
    long = sum(length > longest for length in lengths) if longest is not None else 0
    if not long or (workload.truncate and workload.lang is not None):
        return
    if workload.lang is None:
        raise ConfigError(
            f"{workload.label}: an input of {max(lengths)} tokens, but {where} takes at most {longest}",
            hint=f"try `seq_len={longest}`",
        )
    raise ConfigError(
        f"{workload.lang}: {long} of {len(lengths)} inputs are longer than {longest} tokens, what {where} takes "
        f"(longest: {max(lengths)} tokens)",
        hint="cut them with `truncate=True`",
    )


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
        longest = artifact.max_seq_len if workload.truncate and artifact.max_seq_len is not None else max(counts)
        drawn = random_inputs([min(count, longest) for count in counts], vocab_size=artifact.vocab_size)
        encoded = replace(drawn, truncated=sum(count > longest for count in counts))
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
    lengths = np.concatenate([inputs.lengths, inputs.lengths[:missing]])
    return replace(inputs, ids=np.concatenate([inputs.ids, ids]), lengths=lengths)


def _sort_by_length(inputs: EncodedInputs, choices: int) -> EncodedInputs:
    """Return the examples sorted by their longest sequence, ascending."""
    import numpy as np

    sequences = np.split(inputs.ids, np.cumsum(inputs.lengths)[:-1])
    examples = [sequences[at : at + choices] for at in range(0, len(sequences), choices)]
    examples.sort(key=lambda example: max(len(sequence) for sequence in example))
    ordered = [sequence for example in examples for sequence in example]
    lengths = np.array([len(sequence) for sequence in ordered], np.int32)
    return replace(inputs, ids=np.concatenate(ordered), lengths=lengths)


def _check_examples(texts: Sequence[str], choices: int) -> None:
    if len(texts) % choices:
        raise ConfigError(
            f"{len(texts)} texts are no multiple of {choices} choices: each example takes {choices} lines"
        )
