"""Plans: what the files of a checkpoint would take on a board, from its config.json alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgebench.artifact import Format
from edgebench.errors import ConfigError
from edgebench.export import (
    LARGEST_FLATBUFFER_BYTES,
    checked_length,
    describe_checkpoint,
    existing_file,
    export_model,
    keep_of,
    model_sizes,
    parameters_of,
    predicted_bytes,
    shapes_of,
    trimmed_vocabulary,
)
from edgebench.planning.board_memory import BoardMemory
from edgebench.planning.memory import Observed, Shape, predict, runtime_for
from edgebench.prediction import Fit, ModelSizes, Prediction
from edgebench.runtimes import format_for

_SEQ_LEN = 128  # tokens, as a workload's default


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBoard:
    """The board of a plan: its name, its memory, and what earlier runs there showed, by runtime.

    `runtime`: the one for .tflite files; None: the preferred one.
    """

    name: str
    memory: BoardMemory
    observed: dict[str, Observed]
    runtime: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPlan:
    """What a file would take. `parameters` None: of an existing file. `prediction` None: its memory is not known.

    `fit` is that on the board of the plan. `notes`: what a person should know of it.
    """

    model: str
    format: Format
    parameters: int | None
    file_bytes: int
    prediction: Prediction | None
    fit: Fit
    board: PlannedBoard | None = None
    is_predicted: bool = True  # whether `file_bytes` is; else it is the size of a file that exists
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return one entry of `plans` in `export --plan --json`."""
        memory = self.board.memory if self.board is not None else None
        return {
            "model": self.model,
            "format": str(self.format),
            "parameters": self.parameters,
            "file_bytes": self.file_bytes,
            "file_exists": not self.is_predicted,
            "prediction": self.prediction.to_json() if self.prediction is not None else None,
            "device": self.board.name if self.board is not None else None,
            "memory_bytes": memory.total if memory is not None else None,
            "memory_free_bytes": memory.free if memory is not None else None,
            "fit": str(self.fit),
            "notes": list(self.notes),
        }


def plan_file(
    source: str | Path,
    format: Format,
    *,
    task: str | None = None,
    max_seq_len: int | None = None,
    buckets: Sequence[int] | None = None,
    choices: int | None = None,
    keep_langs: Sequence[str] = (),
    keep_texts: Sequence[str | Path] = (),
    batch: int = 1,
    seq_len: int | None = None,
    board: PlannedBoard | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
) -> ExportPlan:
    """Return what the file of a checkpoint in a format would take; nothing is exported, and no weights are read.

    Args:
        source: a folder with config.json, a hub id, `reference:NAME`, or an existing .onnx or .tflite file.
        task, max_seq_len, buckets, choices, keep_langs, keep_texts: as for `export_model`.
        batch: inputs of a batch.
        seq_len: tokens of an input; default: 128, or the longest input if that is shorter.
        board: where it is to run; None: on none in particular.

    Raises:
        UsageError, CheckpointError: as for `export_model`.
        ConfigError: seq_len or batch is out of range.
    """
    if batch < 1:
        raise ConfigError(f"batch must be >= 1, got {batch}")
    if existing_file(source) is not None:
        return _plan_existing(Path(source), batch=batch, seq_len=seq_len, board=board, say=on_progress)
    format = format_for(board.runtime, format) if board is not None and board.runtime is not None else format
    checkpoint = describe_checkpoint(str(source), task=task, say=on_progress)
    if (keep := keep_of(keep_langs, keep_texts)) is not None:
        rows = trimmed_vocabulary(checkpoint, keep)
        checkpoint = replace(checkpoint, geometry=replace(checkpoint.geometry, vocab_size=rows))
    longest = checked_length(checkpoint, max_seq_len)
    shapes = shapes_of(checkpoint, format, longest, buckets=buckets, choices=choices)
    size = predicted_bytes(checkpoint, format, buckets=shapes.buckets)
    limit = max(shapes.buckets, default=longest)
    sequences = batch * ((choices or 2) if checkpoint.head.has_choices else 1)
    shape = Shape(batch=sequences, seq_len=_padded(_length(seq_len, limit, str(source)), shapes.buckets))
    sizes = model_sizes(checkpoint, format)
    prediction = _predict(format, size, shape, board, sizes)
    notes = []
    if format.runtime == "tflite" and size > LARGEST_FLATBUFFER_BYTES:
        notes.append(f"a .tflite file ends at {LARGEST_FLATBUFFER_BYTES / 1e9:.1f} GB: this one can't be made")
    return _plan(str(source), format, parameters_of(checkpoint), size, prediction, board, notes)


def _plan_existing(
    path: Path,
    *,
    batch: int,
    seq_len: int | None,
    board: PlannedBoard | None,
    say: Callable[[str], None],
) -> ExportPlan:
    """Return the plan of a file that exists: its size is known."""
    artifact = export_model(path, on_progress=say).artifact
    limit = artifact.max_seq_len or _SEQ_LEN
    length = _padded(_length(seq_len, limit, str(path)), artifact.buckets)
    shape = Shape(batch=batch * (artifact.choices or 1), seq_len=length)
    notes = []
    prediction = None
    if artifact.sizes is None:
        notes.append("its memory is not predicted: neither the file nor a config.json beside it tells the sizes")
    else:
        prediction = _predict(artifact.format, artifact.bytes, shape, board, artifact.sizes)
    planned = _plan(str(path), artifact.format, None, artifact.bytes, prediction, board, notes)
    return replace(planned, is_predicted=False)


def _plan(
    model: str,
    format: Format,
    parameters: int | None,
    size: int,
    prediction: Prediction | None,
    board: PlannedBoard | None,
    notes: list[str],
) -> ExportPlan:
    fit = board.memory.fit(prediction) if board is not None else Fit.UNKNOWN
    if board is not None and board.memory.total is None and board.memory.free is None:
        notes.append(f"{board.name} has no memory figure: whether the file fits is not known")
    return ExportPlan(
        model=model,
        format=format,
        parameters=parameters,
        file_bytes=size,
        prediction=prediction,
        fit=fit,
        board=board,
        notes=tuple(notes),
    )


def _predict(
    format: Format, size: int, shape: Shape, board: PlannedBoard | None, sizes: ModelSizes
) -> Prediction | None:
    runtime = runtime_for(format)
    if board is not None and board.runtime is not None and format.runtime == "tflite":
        runtime = board.runtime
    observed = board.observed.get(runtime) if board is not None else None
    return predict(format, size, sizes, shape, runtime=runtime, observed=observed)


def _length(seq_len: int | None, limit: int, where: str) -> int:
    if seq_len is None:
        return min(_SEQ_LEN, limit)
    if not 1 <= seq_len <= limit:
        raise ConfigError(f"{where}: seq_len must be 1..{limit}, the longest input; got {seq_len}")
    return seq_len


def _padded(length: int, buckets: Sequence[int]) -> int:
    """Return the length that an input has in a file that is made for some lengths only."""
    return min((bucket for bucket in buckets if bucket >= length), default=length)
