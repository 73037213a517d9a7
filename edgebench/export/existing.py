"""Existing model files: files that are profiled unchanged, without an export."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgebench.artifact import EXISTING_FORMATS, Artifact, ArtifactFile, Format
from edgebench.errors import CheckpointError, ConfigError, MissingExtra, StoreError
from edgebench.export.cache import RECORD, remembered_hash
from edgebench.export.skeleton import INPUTS
from edgebench.variant import Variant

#: Names of the model inputs that the agent can compute from texts.
_SUPPORTED_INPUTS = (*INPUTS, "token_type_ids", "position_ids")


def existing_file(source: str | Path) -> Path | None:
    """Return the model file that a source names, or that an earlier export wrote to it; None for other sources."""
    path = Path(source)
    if path.suffix in EXISTING_FORMATS:
        return path
    if not (path / RECORD).is_file() or (path / "config.json").is_file():
        return None
    try:
        name = json.loads((path / RECORD).read_text(encoding="utf-8"))["files"][0]["name"]
        return path / Path(name).name
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise CheckpointError(f"{path / RECORD} can't be read; name the .onnx or .tflite file itself") from error


def exported_before(
    path: Path, *, cache: Path, on_progress: Callable[[str], None]
) -> tuple[Artifact, Variant | None] | None:
    """Return the artifact and variant of an exported file that has not changed since; None for any other file.

    Both come from the artifact.json in the file's folder. The variant's source is the file itself, because the
    checkpoint's folder may have changed since. Variants with random weights keep their source.
    """
    try:
        record = json.loads((path.parent / RECORD).read_text(encoding="utf-8"))
        artifact = Artifact.from_json(record, path=path.parent.resolve())
        names = [file.name for file in artifact.files]
        if path.name != names[0]:
            return None
        for file in artifact.files:
            if remembered_hash(cache, artifact.path / file.name, on_progress=on_progress) != file.sha256:
                on_progress(f"{path} is not the file that {RECORD} beside it tells of; taken as it is")
                return None
        variant = Variant.from_json(record["variant"]) if record.get("variant") is not None else None
    except (OSError, ValueError, KeyError, TypeError, IndexError, StoreError, ConfigError):
        return None
    if artifact.tokenizer is not None and not Path(artifact.tokenizer).is_dir():
        artifact = replace(artifact, tokenizer=None)
    if variant is not None and not variant.is_reference:
        variant = replace(variant, source=str(path))
    return artifact, variant


def existing_tflite(path: Path, *, cache: Path, on_progress: Callable[[str], None]) -> Artifact:
    """Return a .tflite file as an artifact, in place; nothing is copied.

    Its inputs are checked only if ai-edge-litert is installed; otherwise the board reports unsupported inputs.

    Raises:
        CheckpointError: it is not a TFLite model, or takes no `input_ids`.
        StoreError: it can't be read.
    """
    try:
        with path.open("rb") as opened:
            head = opened.read(8)
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {error.strerror}") from error
    if head[4:] != b"TFL3":
        raise CheckpointError(f"{path} is not a TFLite model")
    buckets = _tflite_lengths(path)
    digest = remembered_hash(cache, path, on_progress=on_progress)
    return Artifact(
        format=Format.TFLITE,
        files=(ArtifactFile(name=path.name, sha256=digest, bytes=path.stat().st_size),),
        path=path.parent.resolve(),
        buckets=buckets,
        max_seq_len=max(buckets, default=None),
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
    lengths = {shape[-1] for name, shape in inputs if name == INPUTS[0] and shape}
    _check_inputs(path, sorted({name for name, _ in inputs}))
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
            yield tensor.Name().decode().split(":")[0].removeprefix("serving_default_"), _tflite_shape(tensor)


def _tflite_shape(tensor: Any) -> list[int]:
    dynamic = [tensor.ShapeSignature(i) for i in range(tensor.ShapeSignatureLength())]
    return dynamic or [tensor.Shape(i) for i in range(tensor.ShapeLength())]


def _check_inputs(path: Path, names: Sequence[str]) -> None:
    """Raise CheckpointError if a model takes no token ids, or takes an input that the agent can't compute."""
    takes = ", ".join(names[:5]) or "nothing"
    if INPUTS[0] not in names:
        raise CheckpointError(
            f"{path}: the model takes no {INPUTS[0]!r} (it takes {takes}); try to convert it with inputs of the names"
            f" {' and '.join(INPUTS)}"
        )
    if unknown := [name for name in names if name not in _SUPPORTED_INPUTS]:
        raise CheckpointError(
            f"{path}: the model also takes {', '.join(unknown[:5])}, which edgebench does not make (it makes"
            f" {', '.join(_SUPPORTED_INPUTS)}); try to convert it without"
        )


def existing_onnx(path: Path, *, cache: Path, on_progress: Callable[[str], None]) -> Artifact:
    """Return an ONNX file and its external data as an artifact, in place; nothing is copied.

    Raises:
        CheckpointError: it is not an ONNX model, takes no `input_ids`, or its external data is missing or elsewhere.
        StoreError: a file can't be read.
        MissingExtra: onnx is not installed.
    """
    files = []
    for file in (path, *_external_data(path)):
        digest = remembered_hash(cache, file, on_progress=on_progress)
        files.append(ArtifactFile(name=file.name, sha256=digest, bytes=file.stat().st_size))
    # The hub's cache links each file separately. The model finds its data by the link's name, not by the target's.
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
    except Exception as error:  # the exception class depends on protobuf's implementation
        raise CheckpointError(f"{path} is not an ONNX model, or is truncated") from error
    weights = {tensor.name for tensor in model.graph.initializer}  # old files also list their weights as inputs
    _check_inputs(path, [value.name for value in model.graph.input if value.name not in weights])
    locations = {ExternalDataInfo(tensor).location for tensor in _get_all_tensors(model) if uses_external_data(tensor)}
    for location in sorted(locations):
        if Path(location).name != location:
            raise CheckpointError(f"{path}: its external data {location!r} does not lie beside it; save it there")
        if not (path.parent / location).is_file():
            raise CheckpointError(f"{path}: its external data {location!r} is missing")
    return [path.parent / location for location in sorted(locations)]
