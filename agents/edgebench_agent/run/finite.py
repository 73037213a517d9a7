"""Outputs that are not finite (NaN, infinity): no score and no latency of a model that answers so may count."""

import time
from typing import Any, List, Sequence

from ..protocol.failure import Failure
from ..protocol.padding import parts_without_padding
from ..runtimes.interface import Model
from .inputs import Batches
from .loops import TimedLoop

#: The check after the timed span may take so much of its length, and at most so long; it makes at least one inference.
_AFTERWARDS, _LONGEST_NS = 0.02, 5_000_000_000


def refuse_not_finite(names: Sequence[str], outputs: Sequence[Any], batches: Batches, index: int) -> None:
    """Raise Failure (outputs_rejected) if an output of a batch is not finite; padding does not count."""
    for name, output in zip(names, outputs):
        if not is_finite(output) and not all(is_finite(part) for part in _real_parts(output, batches, index)):
            raise Failure(
                "outputs_rejected",
                f"the model's output {name} is not finite (NaN or infinity) for an input of "
                f"{max(batches.lengths(index))} tokens: the runtime computes wrongly, or the model's numbers exceed "
                f"its precision; try `format='onnx-fp32'`, or another version of the runtime",
            )


def is_finite(output: Any) -> bool:
    """Return whether all numbers of an output are finite; True for what holds no floating-point numbers."""
    import numpy as np

    if not isinstance(output, np.ndarray) or output.dtype.kind not in "fc":
        return True
    with np.errstate(all="ignore"):
        # A sum needs no second array of the output's size. Of float16 and float32 it can't overflow.
        if output.dtype.itemsize < 8 and np.isfinite(output.sum(dtype=np.float64)):
            return True
        return bool(np.isfinite(output).all())


def _real_parts(output: Any, batches: Batches, index: int) -> List[Any]:
    """Return the parts of an output that belong to inputs: without filling rows and padding tokens."""
    if not output.ndim:
        return [output]
    rows = output[: batches.sizes[index]]
    return parts_without_padding(rows, batches.lengths(index), batches.padded_tokens(index))


def run_each_shape(loop: TimedLoop, model: Model, batches: Batches, number: int) -> None:
    """Run one batch of each shape as warm-up, and check its outputs.

    A runtime prepares itself for each new shape, some for minutes. All shapes run, however long that takes: a run that
    left one out could not count, because it would be prepared while it is timed.

    Raises:
        Failure: outputs_rejected, by model `number`.
    """
    infer = loop.infer
    outputs: List[Any] = []

    def infer_and_keep(arrays: Any) -> None:
        outputs[:] = [infer(arrays)]

    loop.infer = infer_and_keep
    try:
        for index in batches.shapes():
            loop.run([index], 1, 0)
            check_model(model, outputs.pop(), batches, index, number)
    finally:
        loop.infer = infer


def check_afterwards(model: Model, batches: Batches, number: int, *, timed_ns: int, seed: int) -> None:
    """Check the outputs of further batches after the timed span, which may go on for 2 % of it.

    `seed`: decides where to begin, so that the runs of a measurement check different batches.

    Raises:
        Failure: outputs_rejected, by model `number`.
    """
    if not model.outputs:
        return
    until = time.monotonic_ns() + min(_AFTERWARDS * timed_ns, _LONGEST_NS)
    for position in range(len(batches)):
        index = (seed + position) % len(batches)
        check_model(model, model.infer(batches.arrays(index)), batches, index, number)
        if time.monotonic_ns() > until:
            return


def check_model(model: Model, outputs: Sequence[Any], batches: Batches, index: int, number: int) -> None:
    """Check the outputs of model `number` of a run, as `refuse_not_finite` does."""
    if not model.outputs:
        return
    try:
        refuse_not_finite(model.outputs, outputs, batches, index)
    except Failure as failure:
        failure.model = number
        raise
