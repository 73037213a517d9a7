"""TFLite files that edgebench did not make: profiled unchanged, with the tokenizer and config that lie beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgebench.artifact import Artifact, ArtifactFile, Format
from edgebench.errors import CheckpointError
from edgebench.export.cache import remembered_hash
from edgebench.export.companions import companions_of
from edgebench.export.existing_inputs import refuse_inputs
from edgebench.export.placeholders import refuse_placeholder
from edgebench.export.skeleton import INPUTS
from edgebench_agent.protocol import plain_input_name


def existing_tflite(path: Path, *, cache: Path, on_progress: Callable[[str], None]) -> Artifact:
    """Return a .tflite file as an artifact, in place; nothing is copied.

    Its inputs are checked only if ai-edge-litert is installed; otherwise the board reports unsupported inputs.

    Raises:
        CheckpointError: it is not a TFLite model, or takes no `input_ids`.
        StoreError: it can't be read.
    """
    refuse_placeholder(path)
    with path.open("rb") as opened:
        head = opened.read(8)
    if head[4:] != b"TFL3":
        raise CheckpointError(f"{path} is not a TFLite model")
    buckets = _tflite_lengths(path)
    digest = remembered_hash(cache, path, on_progress=on_progress)
    beside = companions_of(path)
    first_position = beside.first_position(beside.positions)
    return Artifact(
        format=Format.TFLITE,
        files=(ArtifactFile(name=path.name, sha256=digest, bytes=path.stat().st_size),),
        path=path.parent.resolve(),
        buckets=buckets,
        max_seq_len=max(buckets, default=None),
        vocab_size=beside.vocab_size,
        pad_token_id=1 if beside.pad_token_id is None else beside.pad_token_id,
        head=beside.head,
        tokenizer=beside.tokenizer,
        first_position=None if first_position else 0,
    )


def _tflite_lengths(path: Path) -> tuple[int, ...]:
    """Return the lengths of `input_ids` in the signatures of a .tflite file (or in its inputs, if it has none)."""
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError:
        return ()
    import numpy as np

    try:
        model = schema.Model.GetRootAs(np.memmap(path, np.uint8, mode="r"))
        inputs = list(_tflite_inputs(model))
    except Exception as error:  # a corrupt table can raise anything
        raise CheckpointError(f"{path} is not a TFLite model, or is truncated") from error
    lengths = {shape[-1] for name, shape in inputs if plain_input_name(name) == INPUTS[0] and shape}
    refuse_inputs(path, sorted({name for name, _ in inputs}))
    return tuple(sorted(lengths)) if all(length > 0 for length in lengths) else ()


def _tflite_inputs(model: Any) -> Iterator[tuple[str, list[int]]]:
    """Yield the name and shape of each input; -1 is a dynamic dimension."""
    for position in range(model.SignatureDefsLength()):
        signature = model.SignatureDefs(position)
        graph = model.Subgraphs(signature.SubgraphIndex())
        for at in range(signature.InputsLength()):
            entry = signature.Inputs(at)
            yield entry.Name().decode(), _tflite_shape(graph.Tensors(entry.TensorIndex()))
    if not model.SignatureDefsLength():
        graph = model.Subgraphs(0)
        for at in range(graph.InputsLength()):
            tensor = graph.Tensors(graph.Inputs(at))
            yield tensor.Name().decode(), _tflite_shape(tensor)


def _tflite_shape(tensor: Any) -> list[int]:
    dynamic = [tensor.ShapeSignature(i) for i in range(tensor.ShapeSignatureLength())]
    return dynamic or [tensor.Shape(i) for i in range(tensor.ShapeLength())]
