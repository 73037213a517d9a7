"""The outputs of a run, as they come from a board: bounded before they are fetched, checked before they are used.

What a run can have produced follows from its inputs and the model's head: so many numbers for each input or token. A
board that announces more is not asked for it. What comes must be finite numbers of the shape that the inputs have.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from mmap import mmap
from typing import TYPE_CHECKING, TypeAlias

from edgebench.artifact import Artifact
from edgebench.errors import AgentError
from edgebench.text import printable
from edgebench_agent import protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_KINDS = "iuf"  # numpy's letters for integers and floating-point numbers
_PER_TOKEN = ("start_logits", "end_logits")  # outputs of shape (rows, tokens)
#: Most numbers of an output, by the kind of head: for each input, or for each of its tokens.
_PER_INPUT = {"sequence-classification": 1 << 16, "multiple-choice": 1}
_OF_A_TOKEN = {"token-classification": 1024, "question-answering": 1, "encoder": 8192}
_LONGEST_VECTOR = 8192
#: Of a file whose head is not known: more than any vocabulary.
_OF_ANY_TOKEN = 1 << 18
#: Outputs of a file that edgebench has not exported; one that it has exported has two at most.
_MOST_OUTPUTS, _OF_EXPORTED = 16, 2
_BYTES, _HEADER_BYTES = 8, 256
#: Lengths that a file without known signatures may pad its inputs to.
_LONGEST_PADDING = 8192

Outputs: TypeAlias = "dict[str, NDArray[np.generic]]"


def most_output_bytes(artifact: Artifact, spec: protocol.RunSpec, lengths: Sequence[int] = ()) -> int:
    """Return how large the outputs of a run in mode infer can be.

    Args:
        lengths: to which the model pads, as the board reports; empty: to the longest input of each batch.
    """
    numbers = batches = 0
    sequences = spec.batch * spec.choices
    for at in range(0, len(spec.lengths), sequences):
        batch = spec.lengths[at : at + sequences]
        padded = next((length for length in sorted(lengths) if length >= max(batch)), max(batch))
        numbers += len(batch) * _most_numbers(artifact, spec, max(max(batch), min(padded, _LONGEST_PADDING)))
        batches += 1
    outputs = _OF_EXPORTED if artifact.parity is not None else _MOST_OUTPUTS
    return outputs * (_BYTES * numbers + _HEADER_BYTES * batches)


def _most_numbers(artifact: Artifact, spec: protocol.RunSpec, tokens: int) -> int:
    """Return how many numbers an output can have for one input that is padded to so many tokens."""
    if artifact.pooling is not None or (spec.reduce and artifact.task == "encoder"):
        return _LONGEST_VECTOR if artifact.parity is not None else max(_LONGEST_VECTOR, tokens * _LONGEST_VECTOR)
    task = artifact.task or ""
    if task in _PER_INPUT:
        return _PER_INPUT[task]
    return tokens * _OF_A_TOKEN.get(task, max(artifact.vocab_size or 0, _OF_ANY_TOKEN))


def read_outputs(data: bytes | mmap, names: Sequence[str], rows: Sequence[int], *, source: str) -> list[Outputs]:
    """Return the arrays in a run's `outputs.npy`: for each batch one .npy record per output.

    Args:
        data: the file's content; of a memory map, the arrays are parts.
        rows: inputs of each batch, which is what each of its records has as first axis.

    Raises:
        AgentError: a record is torn, of another shape or kind than numbers, or there are too many or too few.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        if len(set(names)) < len(names):
            raise ValueError(f"two outputs have one name: {', '.join(names)}")
        read = [{name: _read_record(file, data, count) for name in names} for count in rows]
        if file.tell() != len(data):
            raise ValueError("there are more outputs than inputs")
    except Exception as error:  # numpy's, of whatever kind: the file comes from a board
        raise AgentError(f"{source}: the outputs can't be read: {printable(error)}") from error
    return read


def _read_record(file: io.BytesIO | mmap, data: bytes | mmap, rows: int) -> NDArray[np.generic]:
    """Read one .npy record; nothing is allocated before its header has proved to fit what was sent."""
    import numpy as np
    from numpy.lib import format as npy

    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"a record of version {version}")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, is_fortran, dtype = read_header(file)
    if dtype.kind not in _KINDS:
        raise ValueError(f"a record of {dtype}, which is no kind of number that a model answers")
    if not shape or shape[0] != rows or min(shape) < 0:
        raise ValueError(f"a record of shape {shape} for {rows} inputs")
    start, size = file.tell(), math.prod(shape) * dtype.itemsize
    if size > len(data) - start:
        raise ValueError("a record is cut off")
    file.seek(start + size)
    array: NDArray[np.generic] = np.ndarray(shape, dtype, buffer=data, offset=start, order="F" if is_fortran else "C")
    return array.copy() if isinstance(data, bytes) else array


def check_outputs(
    batches: Sequence[Outputs], artifact: Artifact, spec: protocol.RunSpec, *, taken: Sequence[int] = (), source: str
) -> None:
    """Check that outputs are what the model answers to these inputs.

    Args:
        taken: lengths in tokens that the model takes, as the agent reported them; empty: any.

    Raises:
        AgentError: an output has not the shape that its inputs and the head have, is of another type in another batch,
            or is not finite. The agent refuses numbers that are not, so none should come.
    """
    sequences = spec.batch * spec.choices
    kinds: dict[str, tuple[object, ...]] = {}
    for index, batch in enumerate(batches):
        lengths = spec.lengths[index * sequences : (index + 1) * sequences]
        for name, output in batch.items():
            per_token = _is_per_token(name, artifact, spec)
            if artifact.parity is not None and not _fits(output, name, lengths, artifact, spec):
                raise AgentError(
                    f"{source}: the output {name} is {output.dtype} of shape {output.shape}, which does not answer "
                    f"{len(lengths)} inputs of up to {max(lengths)} tokens"
                )
            # Of a file that edgebench has not exported, any axis may be the tokens.
            widths = output.shape[2 if per_token else 1 :] if artifact.parity is not None else ()
            kind = (output.dtype, output.ndim, widths)
            if kinds.setdefault(name, kind) != kind:
                raise AgentError(f"{source}: the output {name} is of another type or shape in another batch")
    refuse_not_finite(batches, spec, taken=taken, source=source)


def refuse_not_finite(
    batches: Sequence[Outputs], spec: protocol.RunSpec, *, taken: Sequence[int] = (), source: str
) -> None:
    """Raise AgentError for outputs that are not finite, padding apart; `taken`: as for `check_outputs`."""
    import numpy as np

    sequences = spec.batch * spec.choices
    for index, batch in enumerate(batches):
        lengths = spec.lengths[index * sequences : (index + 1) * sequences]
        tokens = protocol.padded_length(max(lengths), taken)
        for name, output in batch.items():
            if output.dtype.kind != "f" or np.isfinite(output).all():
                continue
            if not all(np.isfinite(part).all() for part in protocol.parts_without_padding(output, lengths, tokens)):
                raise AgentError(f"{source}: the output {name} is not finite (NaN or infinity): it answers nothing")


def _fits(
    output: NDArray[np.generic], name: str, lengths: Sequence[int], artifact: Artifact, spec: protocol.RunSpec
) -> bool:
    """Whether an output of an exported file has the shape and type of its head."""
    per_token = _is_per_token(name, artifact, spec)
    axes = 3 if per_token and name not in _PER_TOKEN else 2
    if output.dtype.kind != "f" or output.ndim != axes or not output.size:
        return False
    if artifact.task == "multiple-choice":
        return bool(output.shape[1] == spec.choices)
    return not per_token or output.shape[1] >= max(lengths)


def _is_per_token(name: str, artifact: Artifact, spec: protocol.RunSpec) -> bool:
    """Whether the second axis of an output is the tokens."""
    if name in _PER_TOKEN:
        return True
    is_known = artifact.parity is not None and artifact.pooling is None
    if not is_known or (spec.reduce and artifact.task == "encoder"):
        return False
    return artifact.task in _OF_A_TOKEN or artifact.task == "masked-lm"


def refuse_quantised(batches: Sequence[Outputs], needed: Sequence[str], *, source: str) -> None:
    """Refuse outputs that are computed with, and are integers: their scale and zero point are not applied.

    Raises:
        AgentError: it names the output.
    """
    for name in needed:
        if (kind := batches[0][name].dtype).kind != "f":
            raise AgentError(
                f"{source}: the output {name} is {kind}: quantised numbers, to which the file does not apply their"
                " scale; convert the model with outputs of float32"
            )


def require_names(found: Sequence[str], needed: Sequence[str], *, source: str) -> None:
    """Raise AgentError unless a run's outputs have these names."""
    if missing := [name for name in needed if name not in found]:
        listed = printable(", ".join(found)) or "none"
        raise AgentError(f"{source}: answers no {' and no '.join(missing)}; its outputs: {listed}")
