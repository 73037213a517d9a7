"""Memory of the measuring process, predicted from what a model file holds and from the shape of its inputs.

The process is Python, numpy, the agent and the runtime (`imported`), the runtime's own buffers (`session`), the weights
as the runtime keeps them, and the activations of the largest batch. The constants were fitted to runs of the agent on
x86-64 (docs/evidence/predictions.md says on which and how far they are off).
"""

from __future__ import annotations

from dataclasses import dataclass

from edgebench.artifact import Format
from edgebench.prediction import ModelSizes, Prediction
from edgebench.runtimes import TFLITE_RUNTIMES

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
        tied: further copies of a table that is also the decoder of a masked language model: transposed and packed.
        kept: bytes for each number of a matrix that may or may not stay after loading: the allocator decides.
        slack: bytes that the runtime takes for a file of any size but the smallest, whose share of it is _SLACK_SHARE.
    """

    copies: float
    largest: float
    packed: float
    mapped: float = 0.0
    tied: float = 0.0
    kept: float = 0.0
    slack: int = 0


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
#: By runtime and precision; ONNX Runtime copies the weights and, while it loads, the largest once more.
_MODELS = {
    ("onnxruntime", "fp32"): _Model(
        weights=_Weights(copies=1, largest=1, packed=0.4, tied=2, kept=2.3),
        activations=_Activations(scores=4.3, inner=8.2, hidden=8.1, outputs=2),
    ),
    ("onnxruntime", "fp16"): _Model(
        weights=_Weights(copies=1, largest=1, packed=5, tied=4),
        activations=_Activations(scores=4.3, inner=5.9, hidden=16.2, outputs=3.8),
    ),
    ("onnxruntime", "int8"): _Model(
        weights=_Weights(copies=1, largest=1, packed=0.65, tied=1.5, slack=5 * _MB),
        activations=_Activations(scores=4.3, inner=6.1, hidden=13.8, outputs=1.6),
    ),
    ("onnxruntime", "int4"): _Model(
        weights=_Weights(copies=1, largest=1, packed=0.65, tied=1.5, slack=5 * _MB),
        activations=_Activations(scores=4.3, inner=6.1, hidden=13.8, outputs=1.6),
    ),
    ("ai-edge-litert", "fp32"): _Model(
        weights=_Weights(copies=1, largest=0, packed=0.63, mapped=4, slack=34 * _MB),
        activations=_Activations(scores=1, inner=0.5, hidden=7.3, outputs=2),
    ),
    ("ai-edge-litert", "int8"): _Model(
        weights=_Weights(copies=1, largest=0, packed=0.8, mapped=1, slack=9 * _MB),
        activations=_Activations(scores=1, inner=0, hidden=9.1, outputs=2),
    ),
    ("tflite-runtime", "fp32"): _Model(
        weights=_Weights(copies=1, largest=0, packed=1.8, mapped=4, slack=32 * _MB),
        activations=_Activations(scores=3.6, inner=0, hidden=0.8, outputs=2),
    ),
    ("tflite-runtime", "int8"): _Model(
        weights=_Weights(copies=0, largest=0, packed=2.6, mapped=1, slack=7 * _MB),
        activations=_Activations(scores=3.5, inner=0, hidden=1, outputs=2),
    ),
}
#: Attention by distance (DeBERTa): so many times the scores, and what ONNX Runtime takes for its larger graph.
_BY_DISTANCE = 4.5
_DISTANCES = 25 * _MB
_SLACK_SHARE = 0.75
#: The time to load a smaller file says nothing of its bytes.
LEAST_LOAD_BYTES = 10 * _MB
#: How far a peak may be off, as a ratio: of a file whose sizes are known, and of one whose sizes are estimates.
RANGE, WIDE_RANGE = 0.10, 0.25
#: Of TFLite: how many of the pages that are mapped from the file count differs from run to run.
_MAPPED_RANGE = 0.20


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What earlier runs on the same board with the same runtime showed; None: nothing.

    Args:
        imported_rss_bytes: RSS with the runtime imported and no model loaded.
        load_ns_per_byte: time to load a file, for each of its bytes.
    """

    imported_rss_bytes: int | None = None
    load_ns_per_byte: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The largest batch of a run: inputs (of several sequences each: all of them), and tokens after padding."""

    batch: int = 1
    seq_len: int = 128


def predict(
    format: Format,
    file_bytes: int,
    sizes: ModelSizes,
    shape: Shape,
    *,
    runtime: str | None = None,
    observed: Observed | None = None,
) -> Prediction | None:
    """Return what a file will take; None: nothing is known of this runtime.

    Args:
        file_bytes: of the file, or as predicted.
        runtime: as the agent names it; None: the preferred one of the format.
        observed: what the board showed before.
    """
    name = runtime or runtime_for(format)
    model = _MODELS.get((name, _precision(format, file_bytes, sizes)))
    if model is None:
        return None
    observed = observed or Observed()
    process, weights = _PROCESSES[name], model.weights
    empty = process.session + (observed.imported_rss_bytes or process.imported)
    stored = empty + weights.copies * file_bytes + (weights.tied * sizes.largest_bytes if sizes.outputs else 0)
    loading = stored + weights.largest * sizes.largest_bytes
    loaded = stored + weights.packed * sizes.matrix_parameters + min(weights.slack, _SLACK_SHARE * file_bytes)
    kept = weights.kept * sizes.matrix_parameters
    if sizes.by_distance and format.runtime == "onnxruntime":
        loaded += _DISTANCES
    loading = max(loading, loaded + kept / 2)
    running = loaded + kept / 2 + model.activations.bytes(sizes, shape.batch, shape.seq_len)
    usual = _MAPPED_RANGE if weights.mapped else RANGE
    doubt = WIDE_RANGE if sizes.is_estimate or (sizes.outputs and not weights.tied) else usual
    if running + kept / 2 > loading:
        doubt += kept / 2 / max(loading, running)
    rate = observed.load_ns_per_byte if file_bytes >= LEAST_LOAD_BYTES else None
    return Prediction(
        runtime=name,
        batch=shape.batch,
        seq_len=shape.seq_len,
        file_bytes=file_bytes,
        load_rss_bytes=round(loading),
        run_rss_bytes=round(running),
        range_ratio=round(min(1.0, doubt), 3),
        mapped_bytes=round(weights.mapped * sizes.matrix_parameters),
        load_ms=rate * file_bytes / 1e6 if rate is not None else None,
    )


def runtime_for(format: Format) -> str:
    """Return the preferred runtime of a format, as the agent names it."""
    return "onnxruntime" if format.runtime == "onnxruntime" else next(iter(TFLITE_RUNTIMES))


def _precision(format: Format, file_bytes: int, sizes: ModelSizes) -> str:
    """Return the precision of a format; of a file that edgebench did not make, by the bytes of each number."""
    if format.precision is not None:
        return format.precision
    each = file_bytes / max(1, sizes.parameters) if sizes.parameters else 4
    return "fp32" if each > 3 else "fp16" if each > 1.6 and format.runtime == "onnxruntime" else "int8"
