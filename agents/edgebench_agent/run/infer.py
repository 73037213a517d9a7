"""Mode infer: run each batch once, in order, and keep the outputs in a file."""

import hashlib
import io
import time
from pathlib import Path
from typing import Any, BinaryIO, List, Sequence

from ..protocol.failure import Failure
from ..protocol.messages import Done, Outputs
from ..protocol.run_spec import RunSpec
from ..runtimes.interface import Model
from .finite import refuse_not_finite
from .inputs import Batches
from .supervisor_channel import SupervisorChannel, send_latencies

_SEND_EVERY_NS = 500_000_000


def infer_all(spec: RunSpec, model: Model, batches: Batches, path: Path, channel: SupervisorChannel) -> None:
    """Run every batch and append each of its outputs to the file `path` as one .npy record.

    Raises:
        Failure: model_rejected: an output is not a plain array; outputs_rejected: it is not finite.
    """
    if spec.warm_shapes:
        channel.enter("warmup")
        _TimedPass(model, batches, channel, warmup=True).run(batches.shapes(), lambda index, outputs: None)
    channel.enter("measuring")
    with path.open("wb") as file:
        kept = _OutputFile(model.outputs, batches, file, spec.reduce)
        timed = _TimedPass(model, batches, channel, warmup=False)
        timed.run(range(len(batches)), kept.add)
    channel.send(Outputs(kept.digest.hexdigest(), kept.bytes, model.outputs, len(batches)))
    channel.enter("finishing")
    channel.send(Done(len(batches), timed.duration_ns))


class _TimedPass:
    """Runs batches, each once, and sends when each began and how long it took."""

    def __init__(self, model: Model, batches: Batches, channel: SupervisorChannel, *, warmup: bool) -> None:
        self._model = model
        self._batches = batches
        self._channel = channel
        self._warmup = warmup
        self.duration_ns = 0

    def run(self, items: Sequence[int], take: Any) -> None:
        """Run the batches `items`; call `take(item, outputs)` after each, before the next one runs."""
        starts: List[int] = []
        latencies: List[int] = []
        sent, sent_at = 0, time.monotonic_ns()
        for position, index in enumerate(items):
            arrays = self._batches.arrays(index)
            starts.append(time.monotonic_ns())
            outputs = self._model.infer(arrays)
            ended = time.monotonic_ns()
            latencies.append(ended - starts[-1])
            take(index, outputs)
            if ended - sent_at >= _SEND_EVERY_NS or position == len(items) - 1:
                of = list(items[sent : position + 1])
                send_latencies(self._channel, starts[sent:], latencies[sent:], of, warmup=self._warmup)
                sent, sent_at = position + 1, ended
                self._channel.check()
        self.duration_ns = starts[-1] + latencies[-1] - starts[0] if starts else 0


class _OutputFile:
    """The outputs written so far, without padding rows: their size and their hash."""

    def __init__(self, names: List[str], batches: Batches, file: BinaryIO, reduce: str) -> None:
        self._names = names
        self._batches = batches
        self._file = file
        self._reduce = reduce
        self.bytes = 0
        self.digest = hashlib.sha256()

    def add(self, index: int, outputs: List[Any]) -> None:
        """Write the outputs of a batch, one record each."""
        if not self._names:
            return
        import numpy as np

        refuse_not_finite(self._names, outputs, self._batches, index)
        rows = self._batches.sizes[index]
        for name, output in zip(self._names, outputs):
            if not isinstance(output, np.ndarray) or output.dtype.hasobject:
                raise Failure(
                    "model_rejected",
                    f"the model's output {name} is not an array of numbers but {type(output).__name__}",
                )
            kept = output[:rows] if output.ndim else output
            record = io.BytesIO()
            # quantised integers have no mean: the host refuses them where it needs them
            is_reduced = self._reduce and kept.ndim == 3 and kept.dtype.kind == "f"
            reduced = self._means(kept, index) if is_reduced else kept
            np.save(record, reduced, allow_pickle=False)
            self._file.write(record.getbuffer())
            self.digest.update(record.getbuffer())
            self.bytes += record.tell()

    def _means(self, output: Any, index: int) -> Any:
        """Return the mean of each row over its real tokens; shape (rows, width), float32."""
        import numpy as np

        lengths = self._batches.lengths(index)
        means = [row[:length].mean(axis=0, dtype=np.float64) for row, length in zip(output, lengths)]
        return np.stack(means).astype(np.float32)
