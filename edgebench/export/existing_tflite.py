"""TFLite files that edgebench did not make: profiled unchanged, with the tokenizer and config that lie beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgebench.artifact import Artifact, ArtifactFile, Format
from edgebench.errors import CheckpointError
from edgebench.export.cache import remembered_hash
from edgebench.export.companions import companions_of
from edgebench.export.existing_inputs import refuse_inputs
from edgebench.export.existing_sizes import sizes_of_tensors
from edgebench.export.placeholders import refuse_placeholder
from edgebench.export.skeleton import INPUTS
from edgebench.export.tflite_graph import TFLiteGraph
from edgebench_agent.protocol import plain_input_name


def existing_tflite(path: Path, *, cache: Path, on_progress: Callable[[str], None]) -> Artifact:
    """Return a .tflite file as an artifact, in place; nothing is copied.

    Its inputs and outputs are checked only if ai-edge-litert is installed; otherwise the board reports unsupported
    inputs, the head is the one that the config names, and the scales of its weights are not known.

    Raises:
        CheckpointError: it is not a TFLite model, or takes no `input_ids`.
        StoreError: it can't be read.
    """
    refuse_placeholder(path)
    with path.open("rb") as opened:
        head = opened.read(8)
    if head[4:] != b"TFL3":
        raise CheckpointError(f"{path} is not a TFLite model")
    graph = _read_graph(path)
    buckets = _lengths(graph) if graph is not None else ()
    digest = remembered_hash(cache, path, on_progress=on_progress)
    beside = companions_of(path)
    first_position = beside.first_position(beside.positions)
    return Artifact(
        format=Format.TFLITE,
        files=(ArtifactFile(name=path.name, sha256=digest, bytes=path.stat().st_size),),
        path=path.parent.resolve(),
        buckets=buckets,
        max_seq_len=max(buckets, default=None),
        vocab_size=(graph.vocab_size if graph is not None else None) or beside.vocab_size,
        pad_token_id=1 if beside.pad_token_id is None else beside.pad_token_id,
        head=beside.head_with(graph.outputs) if graph is not None else beside.head,
        tokenizer=beside.tokenizer,
        first_position=None if first_position else 0,
        separator=beside.separator if graph is not None and "token_type_ids" in _inputs(graph) else None,
        weight_scales=graph.weight_scales if graph is not None else None,
        sizes=sizes_of_tensors(graph.tensors, beside.config) if graph is not None else None,
    )


def _read_graph(path: Path) -> TFLiteGraph | None:
    """Return what a file says of its inputs and outputs; None: the library that reads it is not installed."""
    try:
        graph = TFLiteGraph(path)
    except ImportError:
        return None
    refuse_inputs(path, sorted({name for name, _ in graph.inputs}))
    return graph


def _lengths(graph: TFLiteGraph) -> tuple[int, ...]:
    """Return the lengths of `input_ids`; empty: any."""
    lengths = {shape[-1] for name, shape in graph.inputs if plain_input_name(name) == INPUTS[0] and shape}
    return tuple(sorted(lengths)) if all(length > 0 for length in lengths) else ()


def _inputs(graph: TFLiteGraph) -> set[str]:
    return {plain_input_name(name) for name, _ in graph.inputs}
