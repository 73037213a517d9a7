"""Parity: what an exported file answers, held against the checkpoint run by torch on the same inputs."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.artifact import Format, Parity
from edgebench.errors import ExportError, ParityError
from edgebench.export.checkpoint import Checkpoint
from edgebench.export.heads import Answer, Head
from edgebench.export.skeleton import INPUTS
from edgebench.export.tokens import encode_with
from edgebench.export.weights import load_model

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    import torch
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Outputs = NDArray[np.float32]

#: Largest difference of one number that an fp32 file may show, in logits or hidden states.
FP32_TOLERANCE = 1e-3
#: Smallest mean cosine that an int8 file may show. Real checkpoints reach 0.99; a broken scale falls far below.
INT8_FLOOR = 0.95

_EXAMPLES = 40  # at least 32, whatever the texts
_PADDED_BATCH = 4


def parity_inputs(checkpoint: Checkpoint) -> list[Ids]:
    """Return inputs of varied length, each of shape (tokens,): multilingual text where there is a tokenizer, else
    seeded random ids; the last one as long as the model allows."""
    import numpy as np

    longest = checkpoint.geometry.max_seq_len
    if checkpoint.tokenizer is not None:
        text = resources.files("edgebench").joinpath("data/parity_texts.json").read_text(encoding="utf-8")
        encoded = encode_with(checkpoint.tokenizer, json.loads(text)["texts"])
        inputs = [np.array(ids[:longest], np.int64) for ids in encoded]
    else:
        stream = np.random.default_rng(0)
        lengths = np.linspace(1, min(128, longest), _EXAMPLES - 1).astype(int)
        low = min(checkpoint.geometry.pad_token_id + 1, checkpoint.geometry.vocab_size - 1)
        inputs = [stream.integers(low, checkpoint.geometry.vocab_size, length) for length in lengths]
    joined = np.concatenate(inputs)
    return [*inputs, np.resize(joined, longest)]


def torch_outputs(checkpoint: Checkpoint, inputs: list[Ids]) -> list[Outputs]:
    """Return what the checkpoint itself answers to each input alone, without the batch dimension.

    Raises:
        CheckpointError: transformers can't load or run it.
    """
    import torch

    model = load_model(checkpoint)
    outputs = []
    with torch.inference_mode():
        for ids in inputs:
            batch = torch.from_numpy(ids)[None]
            answers = model(input_ids=batch, attention_mask=torch.ones_like(batch))
            answer: torch.Tensor = answers[checkpoint.head.outputs[0].name]
            outputs.append(answer[0].numpy())
    return outputs


def check_onnx(
    path: Path, checkpoint: Checkpoint, format: Format, inputs: list[Ids], expected: list[Outputs]
) -> Parity:
    """Return how near an ONNX file's outputs come to torch's.

    Args:
        inputs, expected: as `parity_inputs` and `torch_outputs` return them.

    Raises:
        ParityError: fp32 differs by more than FP32_TOLERANCE, alone or in a padded batch; or the mean cosine of
            another format is below INT8_FLOOR.
        ExportError: ONNX Runtime can't load or run the file.
    """
    import numpy as np

    session = _open_session(path)
    actual = [_run(session, ids[None], np.ones_like(ids)[None])[0] for ids in inputs]
    parity = compare(expected, actual, pooled=_pooled(checkpoint.head))
    refuse(parity, format, where=checkpoint.source)
    if format is Format.ONNX_FP32:
        some = sorted(range(len(inputs)), key=lambda i: len(inputs[i]))[:: max(1, len(inputs) // _PADDED_BATCH)]
        batched = _run_padded(session, [inputs[i] for i in some], checkpoint.geometry.pad_token_id)
        if not _pooled(checkpoint.head):
            kept = list(batched)
        else:
            kept = [answer[: len(inputs[i])] for answer, i in zip(batched, some, strict=True)]
        difference = max(_difference(expected[i], answer) for i, answer in zip(some, kept, strict=True))
        if not difference <= FP32_TOLERANCE:
            raise ParityError(
                f"{checkpoint.source}: in a padded batch {format} differs from torch by {difference:.2g}"
                f" (allowed: {FP32_TOLERANCE:g}); nothing was kept"
            )
    return parity


def compare(expected: list[Outputs], actual: list[Outputs], *, pooled: bool) -> Parity:
    """Return the distance between two lists of outputs, each logits (labels,) or hidden states (tokens, hidden).

    `pooled`: cosines are those of states averaged over tokens, and there are no labels to agree on.
    """
    import numpy as np

    def vector(output: Outputs) -> NDArray[np.float64]:
        values = output.astype(np.float64)
        return values.mean(axis=0) if pooled else values.ravel()

    pairs = list(zip(expected, actual, strict=True))
    cosines = [_cosine(vector(a), vector(b)) for a, b in pairs]
    agreement = None
    if not pooled and expected[0].size > 1:
        agreement = float(np.mean([a.argmax() == b.argmax() for a, b in pairs]))
    return Parity(
        max_abs_diff=max(_difference(a, b) for a, b in pairs),
        cosine=min(cosines),
        mean_cosine=float(np.mean(cosines)),
        argmax_agreement=agreement,
        examples=len(pairs),
    )


def refuse(parity: Parity, format: Format, *, where: str) -> None:
    """Raise ParityError where an artifact of this format must not be kept."""
    if format is Format.ONNX_FP32:
        if not parity.max_abs_diff <= FP32_TOLERANCE:
            raise ParityError(
                f"{where}: {format} differs from torch by {parity.max_abs_diff:.2g}"
                f" (allowed: {FP32_TOLERANCE:g}); nothing was kept"
            )
    elif not parity.mean_cosine >= INT8_FLOOR:
        raise ParityError(
            f"{where}: {format} has a mean cosine of {parity.mean_cosine:.3f} to torch over {parity.examples} inputs"
            f" (at least {INT8_FLOOR}); nothing was kept; try: --format onnx-fp32"
        )


def _pooled(head: Head) -> bool:
    return head.outputs[0].answer is Answer.STATES


def _difference(a: Outputs, b: Outputs) -> float:
    """Largest absolute difference; infinite where the shapes differ or one is not finite."""
    import numpy as np

    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    return float(np.abs(a - b).max())


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Cosine of two vectors, 0 where one has no direction."""
    import numpy as np

    if a.shape != b.shape:
        return 0.0
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return min(1.0, float(a @ b) / norm) if norm > 0 and np.isfinite(norm) else 0.0


def _open_session(path: Path) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(f"ONNX Runtime can't load the exported file: {str(error).splitlines()[0]}") from error


def _run(session: onnxruntime.InferenceSession, ids: Ids, mask: Ids) -> Outputs:
    try:
        (output,) = session.run(None, dict(zip(INPUTS, (ids, mask), strict=True)))
    except Exception as error:
        raise ExportError(f"ONNX Runtime can't run the exported file: {str(error).splitlines()[0]}") from error
    answer: Outputs = output
    return answer


def _run_padded(session: onnxruntime.InferenceSession, inputs: list[Ids], pad_token_id: int) -> Outputs:
    import numpy as np

    longest = max(len(ids) for ids in inputs)
    batch = np.full((len(inputs), longest), pad_token_id, np.int64)
    mask = np.zeros_like(batch)
    for row, ids in enumerate(inputs):
        batch[row, : len(ids)] = ids
        mask[row, : len(ids)] = 1
    return _run(session, batch, mask)
