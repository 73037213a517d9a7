"""Memory of the measuring process, predicted from what a model file holds and from the shape of its inputs.

The process is Python, numpy, the agent and the runtime (`imported`), the runtime's own buffers (`session`), the weights
as the runtime keeps them, and the activations of the largest batch. The constants were fitted to runs of the agent on
x86-64 (docs/evidence/predictions.md says on which and how far they are off).
"""

from __future__ import annotations

from dataclasses import dataclass

from edgebench.artifact import Format
from edgebench.prediction import ModelSizes

_FLOAT = 4
_MB = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Activations:
    """How many tensors of each kind the runtime keeps for one batch: scores of attention, inner and hidden states."""

    scores: float
    inner: float
    hidden: float
    outputs: float

    def bytes(self, sizes: ModelSizes, batch: int, seq_len: int) -> float:
        tokens = batch * seq_len
        scores = self.scores * (_BY_DISTANCE if sizes.by_distance else 1)
        return _FLOAT * (
            scores * tokens * seq_len * sizes.heads
            + self.inner * tokens * sizes.intermediate_size
            + self.hidden * tokens * sizes.hidden_size
            + self.outputs * tokens * sizes.outputs
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    """What a runtime keeps of a file's weights.

    Args:
        copies: of the whole file, in memory of the process or mapped from the file.
        largest: further copies of the largest weight, while loading.
        packed: bytes for each number of a matrix, beside the file's own, once it is loaded.
        mapped: bytes for each number of a matrix that stay mapped from the file.
    """

    copies: float
    largest: float
    packed: float
    mapped: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """The memory of one runtime with files of one precision."""

    weights: _Weights
    activations: _Activations


@dataclass(frozen=True, slots=True, kw_only=True)
class _Process:
    """RSS of a process without a model, bytes: with the runtime imported, and what a session adds."""

    imported: int
    session: int


#: By the agent's name of the runtime, measured in the agent's own process.
_PROCESSES = {
    "onnxruntime": _Process(imported=52 * _MB, session=13 * _MB),
    "ai-edge-litert": _Process(imported=43 * _MB, session=8 * _MB),
    "tflite-runtime": _Process(imported=46 * _MB, session=9 * _MB),
}
_BY_DISTANCE = 3.0
