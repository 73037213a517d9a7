"""ONNX answers: the outputs of an exported ONNX file in the host's ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.errors import ExportError
from edgebench.export.skeleton import INPUTS

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    from numpy.typing import NDArray

    from edgebench.export.parity import Ids, Outputs


def open_session(path: Path, *, threads: int = 0) -> onnxruntime.InferenceSession:
    """Return a session of an ONNX file.

    Args:
        threads: 0: as many as ONNX Runtime takes.

    Raises:
        ExportError: ONNX Runtime can't load it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as in the child's OMP_WAIT_POLICY
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(f"ONNX Runtime can't load the exported file: {str(error).splitlines()[0]}") from error


def each_alone(session: onnxruntime.InferenceSession, inputs: Iterable[Ids]) -> Iterator[Outputs]:
    """Yield a file's outputs for each example, without batch dimension.

    Raises:
        ExportError: ONNX Runtime can't run it.
    """
    import numpy as np

    names = [entry.name for entry in session.get_outputs()]
    for ids in inputs:
        answers = _run(session, ids[None], np.ones_like(ids)[None])
        yield {name: values[0] for name, values in zip(names, answers, strict=True)}


def _run(session: onnxruntime.InferenceSession, ids: Ids, mask: Ids) -> list[NDArray[np.float32]]:
    try:
        answers: list[NDArray[np.float32]] = session.run(None, dict(zip(INPUTS, (ids, mask), strict=True)))
    except Exception as error:
        raise ExportError(f"ONNX Runtime can't run the exported file: {str(error).splitlines()[0]}") from error
    return answers


def run_padded(
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
