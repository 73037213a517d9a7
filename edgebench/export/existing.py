"""Existing: a model file that edgebench did not make, profiled as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgebench.artifact import Artifact, ArtifactFile, Format
from edgebench.errors import CheckpointError, MissingExtra
from edgebench.export.cache import remembered_hash
from edgebench.export.skeleton import INPUTS


def existing_onnx(path: Path, *, cache: Path, on_progress: Callable[[str], None]) -> Artifact:
    """Return an ONNX file and its external data as an artifact in the folder where it lies; nothing is copied.

    Raises:
        CheckpointError: it is not an ONNX model, takes no `input_ids`, or its external data is missing or elsewhere.
        StoreError: a file can't be read.
        MissingExtra: onnx is not installed.
    """
    files = []
    for file in (path, *_external_data(path)):
        digest = remembered_hash(cache, file, on_progress=on_progress)
        files.append(ArtifactFile(name=file.name, sha256=digest, bytes=file.stat().st_size))
    # A hub's cache links each file by itself: under the link's name the model finds its data, the target has another.
    return Artifact(format=Format.ONNX, files=tuple(files), path=path.parent.resolve())


def _external_data(path: Path) -> list[Path]:
    try:
        import onnx
        from onnx.external_data_helper import ExternalDataInfo, _get_all_tensors, uses_external_data
    except ImportError as error:
        raise MissingExtra("onnx", "onnx", f"reading {path.name}") from error
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {error.strerror}") from error
    except Exception as error:  # protobuf's own, of whichever implementation
        raise CheckpointError(f"{path} is not an ONNX model, or is truncated") from error
    names = [value.name for value in model.graph.input]
    if INPUTS[0] not in names:
        takes = ", ".join(names[:5]) or "nothing"
        raise CheckpointError(f"{path}: the model takes no {INPUTS[0]!r} (it takes {takes})")
    locations = {ExternalDataInfo(tensor).location for tensor in _get_all_tensors(model) if uses_external_data(tensor)}
    for location in sorted(locations):
        if Path(location).name != location:
            raise CheckpointError(f"{path}: its external data {location!r} does not lie beside it; save it there")
        if not (path.parent / location).is_file():
            raise CheckpointError(f"{path}: its external data {location!r} is missing")
    return [path.parent / location for location in sorted(locations)]
