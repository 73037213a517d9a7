"""ONNX files that edgebench did not make: profiled unchanged, with the tokenizer and config that lie beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from edgebench.artifact import Artifact, ArtifactFile, Format
from edgebench.errors import CheckpointError, MissingExtra
from edgebench.export.cache import remembered_hash
from edgebench.export.companions import Companions, companions_of
from edgebench.export.existing_inputs import refuse_inputs
from edgebench.export.existing_sizes import sizes_of_tensors
from edgebench.export.onnx_graph import OnnxGraph, read_graph
from edgebench.export.placeholders import refuse_placeholder
from edgebench.reading import check_file
from edgebench.runtimes import operator_since
from edgebench_agent.protocol import plain_input_name

if TYPE_CHECKING:
    import onnx


_MOST_SIZE = 1 << 31


def existing_onnx(path: Path, *, cache: Path, on_progress: Callable[[str], None]) -> Artifact:
    """Return an ONNX file and its external data as an artifact, in place; nothing is copied.

    Raises:
        CheckpointError: it is not an ONNX model, takes no `input_ids`, or its external data is missing or elsewhere.
        StoreError: a file can't be read.
        MissingExtra: onnx is not installed.
    """
    refuse_placeholder(path)
    model = _load(path)
    graph = read_graph(model)
    refuse_inputs(path, graph.inputs)
    names = [path.name, *_external_data(path, model)]
    files = [
        ArtifactFile(
            name=name,
            sha256=remembered_hash(cache, path.parent / name, on_progress=on_progress),
            bytes=(path.parent / name).stat().st_size,
        )
        for name in names
    ]
    beside = companions_of(path)
    first_position = beside.first_position(graph.positions)
    # The hub's cache links each file separately. The model finds its data by the link's name, not by the target's.
    return Artifact(
        format=Format.ONNX,
        files=tuple(files),
        path=path.parent.resolve(),
        max_seq_len=_longest(graph, beside, first_position),
        vocab_size=_size(graph.vocab_size) or beside.vocab_size,
        pad_token_id=1 if beside.pad_token_id is None else beside.pad_token_id,
        head=beside.head_with(graph.outputs),
        tokenizer=beside.tokenizer,
        first_position=None if first_position else 0,
        separator=beside.separator if "token_type_ids" in map(plain_input_name, graph.inputs) else None,
        sizes=sizes_of_tensors(_weights(model), beside.config),
        operators_since=_operators_since(model),
    )


def _load(path: Path) -> onnx.ModelProto:
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra("onnx", "onnx", f"reading {path.name}") from error
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {error.strerror}") from error
    except Exception as error:  # the exception class depends on protobuf's implementation
        raise CheckpointError(f"{path} is not an ONNX model, or is truncated") from error
    if not model.graph.node:
        raise CheckpointError(f"{path} is not an ONNX model: it has no graph")
    return model


def _external_data(path: Path, model: onnx.ModelProto) -> list[str]:
    """Return the paths of the external data from the model's folder.

    Raises:
        CheckpointError: some is missing, too small, or out of the folder.
    """
    needed: dict[str, int] = {}
    for location, size in _external_tensors(model):
        place = PurePosixPath(location)
        if place.is_absolute() or ".." in place.parts or not place.parts:
            raise CheckpointError(f"{path}: its external data {location!r} is out of the model's folder; save it there")
        needed[str(place)] = max(size, needed.get(str(place), 0))
    for name, size in sorted(needed.items()):
        data = path.parent / name
        try:
            check_file(data, within=path.parent)
        except FileNotFoundError as error:
            raise CheckpointError(f"{path}: its external data {name!r} is missing; it belongs at {data}") from error
        except OSError as error:
            raise CheckpointError(f"{path}: can't read its external data {data}: {error.strerror}") from error
        refuse_placeholder(data, what="the model's weights")
        if (found := data.stat().st_size) < size:
            raise CheckpointError(f"{data} has {found} bytes, and the model needs {size}; copy or download it again")
    return sorted(needed)


def _external_tensors(model: onnx.ModelProto) -> Iterator[tuple[str, int]]:
    """Yield the file of each external tensor, and the bytes that it needs to have."""
    from onnx.external_data_helper import ExternalDataInfo, _get_all_tensors, uses_external_data

    for tensor in _get_all_tensors(model):
        if uses_external_data(tensor):
            info = ExternalDataInfo(tensor)
            yield info.location, int(info.offset or 0) + int(info.length or 0)


def _weights(model: onnx.ModelProto) -> Iterator[tuple[list[int], int]]:
    """Yield the shape and the bytes of each weight."""
    from onnx.helper import tensor_dtype_to_np_dtype

    for tensor in model.graph.initializer:
        try:
            each = tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        except (KeyError, TypeError, ValueError):
            continue  # of a type that is newer than this onnx
        shape = [int(dim) for dim in tensor.dims]
        yield shape, each * math.prod(shape)


def _operators_since(model: onnx.ModelProto) -> dict[str, str]:
    """Return the operators that not every onnxruntime has, with the first version that does."""
    found: dict[str, str] = {}
    for node in model.graph.node:
        has_bits = any(attribute.name == "bits" for attribute in node.attribute)
        since = operator_since(node.domain, node.op_type, bits=has_bits)
        if since is not None:
            found[node.op_type] = max(since, found.get(node.op_type, since))
    return found


def _size(value: int | None) -> int | None:
    """Return a size that a graph names; None where it can't be one."""
    return value if value is not None and 0 < value < _MOST_SIZE else None


def _longest(graph: OnnxGraph, beside: Companions, first_position: int) -> int | None:
    """Return the longest input in tokens; None: neither the graph nor the config says."""
    positions = _size(graph.positions) or beside.positions
    limits = [_size(graph.tokens), positions - first_position if positions is not None else None]
    return min((limit for limit in limits if limit is not None and limit > 0), default=None)
