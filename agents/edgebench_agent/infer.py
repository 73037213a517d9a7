"""Inference for the sake of its outputs: each batch once, in order, the outputs kept in a file."""

import hashlib
import io
import time
from pathlib import Path
from typing import Any, BinaryIO, List

from .failure import Failure
from .inputs import Batches
from .line import Supervisor, send_latencies
from .protocol import Done, Outputs
from .runtimes import Model

_SEND_EVERY_NS = 500_000_000


def infer_all(model: Model, batches: Batches, path: Path, supervisor: Supervisor) -> None:
    """Run every batch and append each of its outputs to the file `path` as one .npy record.

    Raises:
        Failure: model_rejected: an output is not a plain array.
    """
    supervisor.enter("measuring")
    starts: List[int] = []
    latencies: List[int] = []
    sent, sent_at, size = 0, time.monotonic_ns(), 0
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for index in range(len(batches)):
            arrays = batches.arrays(index)
            starts.append(time.monotonic_ns())
            outputs = model.infer(arrays)
            ended = time.monotonic_ns()
            latencies.append(ended - starts[-1])
            size += _keep(outputs, model.outputs, batches.sizes[index], file, digest)
            if ended - sent_at >= _SEND_EVERY_NS or index == len(batches) - 1:
                items = list(range(sent, index + 1))
                send_latencies(supervisor, starts[sent:], latencies[sent:], items, warmup=False)
                sent, sent_at = index + 1, ended
                supervisor.check()
    supervisor.send(Outputs(digest.hexdigest(), size, model.outputs, len(batches)))
    supervisor.enter("finishing")
    supervisor.send(Done(len(latencies), starts[-1] + latencies[-1] - starts[0] if starts else 0))


def _keep(outputs: List[Any], names: List[str], rows: int, file: BinaryIO, digest: Any) -> int:
    """Write the outputs of a batch, only the rows of real inputs; return the bytes written."""
    if not names:
        return 0
    import numpy as np

    size = 0
    for name, output in zip(names, outputs):
        if not isinstance(output, np.ndarray) or output.dtype.hasobject:
            raise Failure(
                "model_rejected", f"the model's output {name} is no array of numbers but {type(output).__name__}"
            )
        record = io.BytesIO()
        np.save(record, output[:rows] if output.ndim else output, allow_pickle=False)
        file.write(record.getbuffer())
        digest.update(record.getbuffer())
        size += record.tell()
    return size
