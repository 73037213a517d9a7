"""Parity: compares the outputs of an exported file with those of the checkpoint in torch, on the same inputs."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from edgebench.artifact import Format, OutputParity, Parity
from edgebench.errors import ExportError, ParityError
from edgebench.export.cache import write_atomically
from edgebench.export.checkpoint import Checkpoint
from edgebench.export.heads import Answer, Head, Output
from edgebench.export.skeleton import INPUTS
from edgebench.export.tokens import encode_with
from edgebench.export.weights import load_model

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    from numpy.typing import NDArray

#: Token ids of one example: (tokens,), or (choices, tokens) for a head with choices.
Ids: TypeAlias = "NDArray[np.int64]"
#: Outputs of a model for one example, by output name, without batch dimension.
Outputs: TypeAlias = "dict[str, NDArray[np.float32]]"


@dataclass(frozen=True, slots=True)
class Bound:
    """How far an artifact's outputs may differ from torch's before it is rejected."""

    max_abs_diff: float = float("inf")
    mean_cosine: float = -1.0
    padding_neutral: bool = True  # an example's outputs don't depend on its batch


_FLOAT32 = Bound(max_abs_diff=1e-3)
#: Real checkpoints reach 0.98; a wrong scale gives far less. Activation scales depend on everything in the batch.
_INT8 = Bound(mean_cosine=0.95, padding_neutral=False)
BOUNDS = {
    Format.ONNX_FP32: _FLOAT32,
    Format.TFLITE_FP32: _FLOAT32,
    Format.ONNX_FP16: Bound(mean_cosine=0.999),
    Format.ONNX_INT8: _INT8,
    Format.TFLITE_INT8: _INT8,
}

#: With random weights, a head's few outputs are noise about a constant; a broken file gives unrelated directions.
_RANDOM_INT8 = Bound(mean_cosine=0.5, padding_neutral=False)

_EXAMPLES = 40
_CHOICES = 2  # for a file that takes any number
_PADDED_BATCH = 4
#: With more labels than this (a vocabulary), only some tokens are compared: each token has a megabyte of output.
_MOST_LABELS = 4096
_SAMPLED_TOKENS = 4


def parity_inputs(checkpoint: Checkpoint, *, longest: int, choices: int | None = None) -> list[Ids]:
    """Return examples of various lengths: multilingual text if there is a tokenizer, else seeded random ids.

    Args:
        longest: maximum length in tokens; the last example has exactly this length.
        choices: sequences per example, if the file fixes it.
    """
    import numpy as np

    if checkpoint.tokenizer is not None:
        text = resources.files("edgebench").joinpath("data/parity_texts.json").read_text(encoding="utf-8")
        encoded = encode_with(checkpoint.tokenizer, json.loads(text)["texts"])
        inputs = [np.array(ids[:longest], np.int64) for ids in encoded]
    else:
        stream = np.random.default_rng(0)
        lengths = np.linspace(1, min(128, longest), _EXAMPLES - 1).astype(int)
        low = min(checkpoint.geometry.pad_token_id + 1, checkpoint.geometry.vocab_size - 1)
        inputs = [stream.integers(low, checkpoint.geometry.vocab_size, length) for length in lengths]
    inputs.append(np.resize(np.concatenate(inputs), longest))
    return [_with_choices(ids, choices or _CHOICES) for ids in inputs] if checkpoint.head.has_choices else inputs


def _with_choices(ids: Ids, choices: int) -> Ids:
    """Return an example of several sequences: the ids, then the reversed ids, rotated."""
    import numpy as np

    return np.stack([np.roll(ids[::-1], shift) if shift else ids for shift in range(choices)])


def expected_outputs(checkpoint: Checkpoint, inputs: Sequence[Ids], folder: Path, key: str) -> list[Outputs]:
    """Return torch's outputs of the checkpoint for each example alone, computed now or cached by an earlier export.

    Args:
        folder: where the outputs are cached.
        key: identifies the checkpoint and torch's version.

    Raises:
        CheckpointError: transformers can't load or run it.
    """
    digest = hashlib.sha256(b"".join(ids.tobytes() + bytes(str(ids.shape), "ascii") for ids in inputs)).hexdigest()
    path = folder / f"{key}-{digest[:16]}.npz"
    kept = _read_expected(path, checkpoint.head, len(inputs))
    if kept is not None:
        return kept
    outputs = _torch_outputs(checkpoint, inputs)
    _keep_expected(path, outputs)
    return outputs


def _read_expected(path: Path, head: Head, count: int) -> list[Outputs] | None:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as kept:
            return [{output.name: kept[f"{i}.{output.name}"] for output in head.outputs} for i in range(count)]
    except (OSError, ValueError, KeyError, EOFError):
        return None
    except Exception as error:  # zipfile's own exception, for an incomplete file
        if type(error).__module__ == "zipfile":
            return None
        raise


def _keep_expected(path: Path, outputs: Sequence[Outputs]) -> None:
    import numpy as np

    content = io.BytesIO()
    named = {f"{i}.{name}": values for i, answer in enumerate(outputs) for name, values in answer.items()}
    np.savez(content, **named)  # type: ignore[arg-type]
    write_atomically(path, content.getvalue())


def _torch_outputs(checkpoint: Checkpoint, inputs: Sequence[Ids]) -> list[Outputs]:
    import torch

    model = load_model(checkpoint)
    outputs = []
    with torch.inference_mode():
        for ids in inputs:
            batch = torch.from_numpy(ids)[None]
            answers = model(input_ids=batch, attention_mask=torch.ones_like(batch))
            named = {output.name: answers[output.name][0].numpy() for output in checkpoint.head.outputs}
            outputs.append(_sampled(named))
    return outputs


def _sampled(outputs: Outputs) -> Outputs:
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
) -> Parity:
    """Return how far the outputs of an exported file differ from torch's.

    Args:
        answers: the file's outputs per example, without batch dimension and padding; consumed one at a time.
        expected: as `expected_outputs` returns them.
        runtime: returns the runtime and its version; called after all answers were consumed.

    Raises:
        ParityError: they are further apart than the format's bound allows.
    """
    actual = [_sampled(answer) for answer in answers]
    parity = compare(expected, actual, checkpoint.head, runtime=runtime())
    refuse(parity, _bound(format, checkpoint), format, where=checkpoint.source)
    return parity


def check_onnx(
    path: Path, checkpoint: Checkpoint, format: Format, inputs: Sequence[Ids], expected: Sequence[Outputs]
) -> Parity:
    """Return how far an ONNX file's outputs differ from torch's, for each example alone.

    If padding must not change the outputs, some examples are also checked in one padded batch, with the same bound.

    Raises:
        ParityError: they are further apart than the format's bound allows.
        ExportError: ONNX Runtime can't load or run the file.
    """
    import numpy as np
    import onnxruntime

    session = _open_session(path)
    names = [entry.name for entry in session.get_outputs()]
    runtime = f"onnxruntime {onnxruntime.__version__}"

    def run(ids: Ids) -> Outputs:
        answers = _run(session, ids[None], np.ones_like(ids)[None])
        return {name: values[0] for name, values in zip(names, answers, strict=True)}

    parity = check(map(run, inputs), checkpoint, format, expected, runtime=lambda: runtime)
    if BOUNDS[format].padding_neutral:
        some = sorted(range(len(inputs)), key=lambda i: inputs[i].shape[-1])[:: max(1, len(inputs) // _PADDED_BATCH)]
        answers = _run_padded(session, [inputs[i] for i in some], checkpoint.geometry.pad_token_id)
        actual = [
            _sampled(_unpadded(dict(zip(names, rows, strict=True)), checkpoint.head, inputs[i].shape[-1]))
            for i, *rows in zip(some, *answers, strict=True)
        ]
        padded = compare([expected[i] for i in some], actual, checkpoint.head, runtime=runtime)
        refuse(padded, BOUNDS[format], format, where=f"{checkpoint.source}: in a padded batch")
    return parity


def compare(expected: Sequence[Outputs], actual: Sequence[Outputs], head: Head, *, runtime: str | None) -> Parity:
    """Return the distance between two lists of outputs, one entry per example."""
    outputs = tuple(
        _compare_output(
            [answer[output.name] for answer in expected], [answer.get(output.name) for answer in actual], output
        )
        for output in head.outputs
    )
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


def _compare_output(
    expected: Sequence[NDArray[np.float32]], actual: Sequence[NDArray[np.float32] | None], output: Output
) -> OutputParity:
    import numpy as np

    def vector(values: NDArray[np.float32]) -> NDArray[np.float64]:
        wide = values.astype(np.float64)
        return wide.mean(axis=0) if output.answer is Answer.STATES else wide.ravel()

    pairs = [(a, b) for a, b in zip(expected, actual, strict=True) if b is not None and a.shape == b.shape]
    complete = len(pairs) == len(expected)
    cosines = [_cosine(vector(a), vector(b)) for a, b in pairs] if complete else [0.0]
    decides = output.answer.decides and any(answer.shape[-1] > 1 for answer in expected)
    same = [np.atleast_1d(a.argmax(axis=-1) == b.argmax(axis=-1)) for a, b in pairs] if decides and complete else []
    return OutputParity(
        name=output.name,
        max_abs_diff=max(_difference(a, b) for a, b in pairs) if complete else float("inf"),
        cosine=min(cosines),
        mean_cosine=float(np.mean(cosines)),
        argmax_agreement=float(np.concatenate(same).mean()) if same else (0.0 if decides else None),
    )


def _bound(format: Format, checkpoint: Checkpoint) -> Bound:
    return _RANDOM_INT8 if BOUNDS[format] is _INT8 and checkpoint.folder is None else BOUNDS[format]


def refuse(parity: Parity, bound: Bound, format: Format, *, where: str) -> None:
    """Raise ParityError if an artifact exceeds the bound."""
    if not parity.max_abs_diff <= bound.max_abs_diff:
        raise ParityError(
            f"{where}: {format} differs from torch by {parity.max_abs_diff:.2g} in {parity.runtime}"
            f" (allowed: {bound.max_abs_diff:g}); nothing was kept"
        )
    if not parity.mean_cosine >= bound.mean_cosine:
        raise ParityError(
            f"{where}: {format} has a mean cosine of {parity.mean_cosine:.3f} to torch over {parity.examples} inputs"
            f" in {parity.runtime} (at least {bound.mean_cosine:g}); nothing was kept;"
            f" try: `format='{format.runtime.replace('runtime', '')}-fp32'`"
        )


def _difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the largest absolute difference; infinity if a value is not finite."""
    import numpy as np

    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    return float(np.abs(a - b).max())


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the cosine of two vectors; 0 if one is zero or not finite."""
    import numpy as np

    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return min(1.0, float(a @ b) / norm) if norm > 0 and np.isfinite(norm) else 0.0


def _unpadded(outputs: Outputs, head: Head, tokens: int) -> Outputs:
    """Return one row of a padded batch's outputs, without the padding."""
    per_token = {output.name for output in head.outputs if output.answer.is_per_token}
    return {name: values[:tokens] if name in per_token else values for name, values in outputs.items()}


def _open_session(path: Path) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(f"ONNX Runtime can't load the exported file: {str(error).splitlines()[0]}") from error


def _run(session: onnxruntime.InferenceSession, ids: Ids, mask: Ids) -> list[NDArray[np.float32]]:
    try:
        answers: list[NDArray[np.float32]] = session.run(None, dict(zip(INPUTS, (ids, mask), strict=True)))
    except Exception as error:
        raise ExportError(f"ONNX Runtime can't run the exported file: {str(error).splitlines()[0]}") from error
    return answers


def _run_padded(
    session: onnxruntime.InferenceSession, inputs: Sequence[Ids], pad_token_id: int
) -> list[NDArray[np.float32]]:
    import numpy as np

    longest = max(ids.shape[-1] for ids in inputs)
    batch = np.full((len(inputs), *inputs[0].shape[:-1], longest), pad_token_id, np.int64)
    mask = np.zeros_like(batch)
    for row, ids in enumerate(inputs):
        batch[row, ..., : ids.shape[-1]] = ids
        mask[row, ..., : ids.shape[-1]] = 1
    return _run(session, batch, mask)
