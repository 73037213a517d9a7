"""Existing model files: files that are profiled unchanged, without an export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgebench.artifact import Artifact, Format, WeightScales, format_of_file
from edgebench.errors import CheckpointError, ConfigError, StoreError
from edgebench.export.cache import RECORD, remembered_hash
from edgebench.export.existing_onnx import existing_onnx
from edgebench.export.existing_tflite import existing_tflite
from edgebench.reading import check_file, is_folder, parse_json, read_text
from edgebench.variant import Variant

#: The folder of a repository that holds its ONNX files.
_ONNX_FOLDER = "onnx"
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "pytorch_model.bin.index.json")


def existing_file(source: str | Path) -> Path | None:
    """Return the model file that a source names, or that an exporter wrote to it; None for other sources.

    In a folder with weights, the checkpoint counts, and not the model files beside it.

    Raises:
        CheckpointError: a folder has several model files, or an artifact.json that can't be read.
    """
    path = Path(source)
    if format_of_file(path) is not None and not is_folder(path):
        return path
    if not is_folder(path):
        return None
    if not (path / RECORD).is_file() or (path / "config.json").is_file():
        return _only_file(path)
    try:
        name = Path(parse_json(read_text(path / RECORD, within=path))["files"][0]["name"]).name
        if format_of_file(Path(name)) is None or "\0" in name:
            raise ValueError(f"{name!r} is no model file")
        return path / name
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise CheckpointError(f"{path / RECORD} can't be read; name the .onnx or .tflite file itself") from error


def _only_file(folder: Path) -> Path | None:
    if any(file.is_file() for pattern in _WEIGHTS for file in folder.glob(pattern)):
        return None
    for place in (folder, folder / _ONNX_FOLDER):
        files = sorted(file for file in place.glob("*") if format_of_file(file) is not None and file.is_file())
        if len(files) > 1:
            names = ", ".join(str(file.relative_to(folder)) for file in files)
            raise CheckpointError(f"{folder} has several model files: {names}", hint=f"name one, such as {files[0]}")
        if files:
            try:
                check_file(files[0], within=folder)
            except OSError as error:
                raise CheckpointError(f"can't read {files[0]}: {error.strerror}") from error
            return files[0]
    return None


def take_existing(path: Path, *, cache: Path, on_progress: Callable[[str], None]) -> Artifact:
    """Return a model file that edgebench did not make as an artifact, in place; see the functions for each format."""
    take = existing_tflite if format_of_file(path) is Format.TFLITE else existing_onnx
    return take(path, cache=cache, on_progress=on_progress)


def exported_before(
    path: Path, *, cache: Path, on_progress: Callable[[str], None]
) -> tuple[Artifact, Variant | None] | None:
    """Return the artifact and variant of an exported file that has not changed since; None for any other file.

    Both come from the artifact.json in the file's folder. The variant's source is the file itself, because the
    checkpoint's folder may have changed since. Variants with random weights keep their source.
    """
    try:
        record = parse_json(read_text(path.parent / RECORD, within=path.parent))
        artifact = _by_scales(Artifact.from_json(record, path=path.parent.resolve()))
        names = [file.name for file in artifact.files]
        if path.name != names[0]:
            return None
        for file in artifact.files:
            check_file(artifact.path / file.name, within=artifact.path)
            if remembered_hash(cache, artifact.path / file.name, on_progress=on_progress) != file.sha256:
                on_progress(f"{path} is not the file that {RECORD} beside it tells of; taken as it is")
                return None
        variant = Variant.from_json(record["variant"]) if record.get("variant") is not None else None
    except (OSError, ValueError, KeyError, TypeError, IndexError, StoreError, ConfigError):
        return None
    if artifact.tokenizer is not None and not is_folder(Path(artifact.tokenizer)):
        artifact = replace(artifact, tokenizer=None)
    if variant is not None and not variant.is_reference:
        variant = replace(variant, source=str(path))
    return artifact, variant


def _by_scales(artifact: Artifact) -> Artifact:
    """Return an artifact under the name that its format has today: tflite-int8 once had one scale a tensor."""
    if artifact.format is not Format.TFLITE_INT8 or artifact.weight_scales is not None:
        return artifact
    return replace(artifact, format=Format.TFLITE_INT8_PER_TENSOR, weight_scales=WeightScales.TENSOR)
