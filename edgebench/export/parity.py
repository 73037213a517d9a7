"""Parity: compares the outputs of an exported file with those of the checkpoint in torch, on the same inputs."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from edgebench.artifact import Format, OutputParity, Parity
from edgebench.export.cache import write_atomically
from edgebench.export.checkpoint import Checkpoint
from edgebench.export.figures import compare_output, meaning_of
from edgebench.export.finite import refuse_file_outputs, refuse_torch_outputs
from edgebench.export.floors import BOUNDS, judge, refuse, refuse_padded
from edgebench.export.heads import Head, Output
from edgebench.export.memory import forget_after_use
from edgebench.export.onnx_answers import each_alone, open_session, run_padded
from edgebench.export.segments import segments_of
from edgebench.export.sentence_graph import reference_model
from edgebench.export.tokenizer_loading import encode_with
from edgebench.export.weights import load_stock_model

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

#: Token ids of one example: (tokens,), or (choices, tokens) for a head with choices.
Ids: TypeAlias = "NDArray[np.int64]"
#: Outputs of a model for one example, by output name, without batch dimension.
Outputs: TypeAlias = "dict[str, NDArray[np.float32]]"


_EXAMPLES = 40
_RANGE = "range:"  # before a module's name, in the cached file
_CHOICES = 2  # for a file that takes any number
_PADDED_BATCH = 4
#: With more labels than this (a vocabulary), only some tokens are compared: each token has a megabyte of output.
_MOST_LABELS = 4096
_SAMPLED_TOKENS = 4


def parity_inputs(
    checkpoint: Checkpoint, *, longest: int, choices: int | None = None, opened: Tokenizer | None = None
) -> list[Ids]:
    """Return examples of various lengths: multilingual text if there is a tokenizer, else seeded random ids.

    Args:
        longest: maximum length in tokens; the last example has exactly this length.
        choices: sequences per example, if the file fixes it.
        opened: the checkpoint's tokenizer, if it has been read before.
    """
    import numpy as np

    if checkpoint.tokenizer is not None:
        text = resources.files("edgebench").joinpath("data/parity_texts.json").read_text(encoding="utf-8")
        encoded = encode_with(checkpoint.tokenizer, json.loads(text)["texts"], opened=opened)
        inputs = [np.array(ids[:longest], np.int64) for ids in encoded]
    else:
        stream = np.random.default_rng(0)
        lengths = np.linspace(1, min(128, longest), _EXAMPLES - 1).astype(int)
        low = min(checkpoint.geometry.pad_token_id + 1, checkpoint.geometry.vocab_size - 1)
        inputs = [stream.integers(low, checkpoint.geometry.vocab_size, length) for length in lengths]
    inputs.append(np.resize(np.concatenate(inputs), longest))
    if checkpoint.geometry.separator is not None:
        inputs[1::2] = [_pair(*both)[:longest] for both in zip(inputs[::2], inputs[1::2], strict=False)]
    return _with_choices(inputs, choices or _CHOICES) if checkpoint.head.has_choices else inputs


def _pair(first: Ids, second: Ids) -> Ids:
    """Return two framed texts as a pair, as BERT's tokenizer frames it: the second without its first token."""
    import numpy as np

    return np.concatenate([first, second[1:]])


def _with_choices(inputs: Sequence[Ids], choices: int) -> list[Ids]:
    """Return examples of several sequences of one length: an input and, as long as it, the inputs that follow."""
    import numpy as np

    def as_long(other: Ids, ids: Ids) -> Ids:
        resized = np.resize(other, len(ids))
        resized[-1] = ids[-1]  # the token that ends a text
        return resized

    following = [[inputs[(at + step) % len(inputs)] for step in range(1, choices)] for at in range(len(inputs))]
    return [
        np.stack([ids, *(as_long(other, ids) for other in others)])
        for ids, others in zip(inputs, following, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Reference:
    """What torch computes of the checkpoint.

    Attributes:
        outputs: for each example alone.
        input_ranges: of each linear module, by its name in the model: the largest magnitude of each of its inputs.
            Shape (inputs,).
    """

    outputs: list[Outputs]
    input_ranges: Mapping[str, NDArray[np.float32]]


def torch_reference(checkpoint: Checkpoint, inputs: Sequence[Ids], folder: Path, key: str) -> Reference:
    """Return what torch computes of the checkpoint, now or, as it was cached, in an earlier export.

    Args:
        folder: where the outputs are cached.
        key: identifies the checkpoint and torch's version.

    Raises:
        CheckpointError: transformers can't load or run it, or its outputs are not finite.
    """
    digest = hashlib.sha256(b"".join(ids.tobytes() + bytes(str(ids.shape), "ascii") for ids in inputs)).hexdigest()
    path = folder / f"{key}-{digest[:16]}.npz"
    kept = _read_expected(path, checkpoint.head, len(inputs))
    if kept is not None:
        return kept
    reference = _run_torch(checkpoint, inputs)
    refuse_torch_outputs(reference.outputs, where=checkpoint.source)
    _keep_expected(path, reference)
    return reference


def _read_expected(path: Path, head: Head, count: int) -> Reference | None:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as kept:
            outputs = [{output.name: kept[f"{i}.{output.name}"] for output in head.outputs} for i in range(count)]
            ranges = {name.removeprefix(_RANGE): kept[name] for name in kept.files if name.startswith(_RANGE)}
            return Reference(outputs, ranges)
    except (OSError, ValueError, KeyError, EOFError):
        return None
    except Exception as error:  # zipfile's own exception, for an incomplete file
        if type(error).__module__ == "zipfile":
            return None
        raise


def _keep_expected(path: Path, reference: Reference) -> None:
    import numpy as np

    content = io.BytesIO()
    named = {f"{i}.{name}": values for i, answer in enumerate(reference.outputs) for name, values in answer.items()}
    named |= {_RANGE + name: values for name, values in reference.input_ranges.items()}
    np.savez(content, **named)  # type: ignore[arg-type]
    write_atomically(path, content.getvalue())


def _run_torch(checkpoint: Checkpoint, inputs: Sequence[Ids]) -> Reference:
    import torch

    stock = load_stock_model(checkpoint)
    ranges = _watch_inputs(stock)
    model = stock if checkpoint.sentence is None else reference_model(stock, checkpoint.sentence)
    forget_after_use(stock)
    separator = checkpoint.geometry.separator
    outputs = []
    with torch.inference_mode():
        for ids in inputs:
            batch = torch.from_numpy(ids)[None]
            types = (
                {"token_type_ids": torch.from_numpy(segments_of(ids, separator))[None]} if separator is not None else {}
            )
            answers = model(input_ids=batch, attention_mask=torch.ones_like(batch), **types)
            named = {output.name: answers[output.name][0].numpy() for output in checkpoint.head.outputs}
            outputs.append(sampled(named))
    return Reference(outputs, {name: largest.numpy() for name, largest in ranges.items()})


def _watch_inputs(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return a table that the model fills while it runs: of each linear module, the largest magnitude of each input."""
    import torch

    found: dict[str, torch.Tensor] = {}

    def watch(name: str) -> Callable[[torch.nn.Module, tuple[torch.Tensor, ...]], None]:
        def note(_module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
            sizes = arguments[0].detach().abs().flatten(0, -2).amax(0)
            found[name] = torch.maximum(found[name], sizes) if name in found else sizes

        return note

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(watch(name))
    return found


def sampled(outputs: Outputs) -> Outputs:
    """Return the outputs; of a very wide output only a few tokens, evenly spaced."""
    import numpy as np

    def sample(values: NDArray[np.float32]) -> NDArray[np.float32]:
        if values.ndim < 2 or values.shape[-1] <= _MOST_LABELS:
            return values
        return values.take(np.unique(np.linspace(0, len(values) - 1, _SAMPLED_TOKENS).astype(int)), axis=0)

    return {name: sample(values) for name, values in outputs.items()}


def check(
    answers: Iterable[Outputs],
    checkpoint: Checkpoint,
    format: Format,
    expected: Sequence[Outputs],
    *,
    runtime: Callable[[], str],
    accept: bool = False,
) -> Parity:
    """Return how far the outputs of an exported file differ from torch's.

    Args:
        answers: the file's outputs per example, without batch dimension and padding; consumed one at a time.
        expected: torch's outputs, as in `Reference.outputs`.
        runtime: returns the runtime and its version; called after all answers were consumed.
        accept: figures beyond their limits are recorded and are no error.

    Raises:
        ParityError: they are further apart than the limits for the head and format allow.
    """
    actual = [sampled(answer) for answer in answers]
    ran = runtime()
    refuse_file_outputs(actual, format=str(format), runtime=ran, where=checkpoint.source)
    parity = _judged(
        compare(expected, actual, checkpoint.head, runtime=ran, problem_type=checkpoint.problem_type),
        checkpoint,
        format,
        expected,
    )
    refuse(parity, format, where=checkpoint.source, accept=accept)
    return parity


def _judged(parity: Parity, checkpoint: Checkpoint, format: Format, expected: Sequence[Outputs]) -> Parity:
    meanings = [
        meaning_of(
            output,
            checkpoint.head.task,
            [answer[output.name] for answer in expected],
            problem_type=checkpoint.problem_type,
        )
        for output in checkpoint.head.outputs
    ]
    largest = _largest(expected)
    judgements = judge(parity, meanings, format, largest=largest, is_random=checkpoint.folder is None)
    return replace(parity, judgements=judgements)


def _largest(expected: Sequence[Outputs]) -> float:
    return max(float(abs(values).max(initial=0)) for answer in expected for values in answer.values())


def check_onnx(
    path: Path,
    checkpoint: Checkpoint,
    format: Format,
    inputs: Sequence[Ids],
    expected: Sequence[Outputs],
    *,
    accept: bool = False,
) -> Parity:
    """Return how far an ONNX file's outputs differ from torch's, for each example alone.

    If padding must not change the outputs, some examples are also checked in one padded batch.

    Args:
        accept: as for `check`.

    Raises:
        ParityError: they are further apart than the limits for the head and format allow.
        ExportError: ONNX Runtime can't load or run the file.
    """
    import onnxruntime

    session = open_session(path)
    names = [entry.name for entry in session.get_outputs()]
    runtime = f"onnxruntime {onnxruntime.__version__}"
    answered = each_alone(session, inputs)
    parity = check(answered, checkpoint, format, expected, runtime=lambda: runtime, accept=accept)
    if BOUNDS[format].padding_neutral:
        some = sorted(range(len(inputs)), key=lambda i: inputs[i].shape[-1])[:: max(1, len(inputs) // _PADDED_BATCH)]
        answers = run_padded(session, [inputs[i] for i in some], checkpoint.geometry.pad_token_id)
        actual = [
            sampled(_unpadded(dict(zip(names, rows, strict=True)), checkpoint.head, inputs[i].shape[-1]))
            for i, *rows in zip(some, *answers, strict=True)
        ]
        padded = compare([expected[i] for i in some], actual, checkpoint.head, runtime=runtime)
        largest = _largest([expected[i] for i in some])
        refuse_padded(padded, format, alone=parity.max_abs_diff, largest=largest, where=checkpoint.source)
    return parity


def compare(
    expected: Sequence[Outputs],
    actual: Sequence[Outputs],
    head: Head,
    *,
    runtime: str | None,
    problem_type: str | None = None,
) -> Parity:
    """Return the distance between two lists of outputs, one entry per example.

    Args:
        problem_type: as in config.json.
    """

    def compare_one(output: Output) -> OutputParity:
        ours = [answer[output.name] for answer in expected]
        meaning = meaning_of(output, head.task, ours, problem_type=problem_type)
        return compare_output(ours, [answer.get(output.name) for answer in actual], output, meaning)

    outputs = tuple(map(compare_one, head.outputs))
    agreements = [output.argmax_agreement for output in outputs if output.argmax_agreement is not None]
    return Parity(
        max_abs_diff=max(output.max_abs_diff for output in outputs),
        cosine=min(output.cosine for output in outputs),
        mean_cosine=min(output.mean_cosine for output in outputs),
        argmax_agreement=min(agreements, default=None),
        examples=len(expected),
        runtime=runtime,
        outputs=outputs,
    )


def _unpadded(outputs: Outputs, head: Head, tokens: int) -> Outputs:
    """Return one row of a padded batch's outputs, without the padding."""
    per_token = {output.name for output in head.outputs if output.answer.is_per_token}
    return {name: values[:tokens] if name in per_token else values for name, values in outputs.items()}
