"""Artifact: the exported files of a Variant in one Format, identified by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from edgebench.errors import StoreError, UnknownName
from edgebench.serialisation import from_plain, to_plain

_CHUNK_BYTES = 1 << 20


class Format(StrEnum):
    """File format and precision of a model. `ONNX` and `TFLITE` are existing files, profiled as they are."""

    ONNX_FP32 = "onnx-fp32"
    ONNX_FP16 = "onnx-fp16"
    ONNX_INT8 = "onnx-int8"
    TFLITE_FP32 = "tflite-fp32"
    TFLITE_INT8 = "tflite-int8"
    ONNX = "onnx"
    TFLITE = "tflite"

    @property
    def runtime(self) -> str:
        """The runtime of the agent that reads it."""
        return "tflite" if self in (Format.TFLITE_FP32, Format.TFLITE_INT8, Format.TFLITE) else "onnxruntime"


#: Formats of files that edgebench did not make, by suffix.
EXISTING_FORMATS = {".onnx": Format.ONNX, ".tflite": Format.TFLITE}

#: Formats that edgebench can export to.
EXPORT_FORMATS = tuple(format for format in Format if format not in EXISTING_FORMATS.values())


def parse_format(name: str) -> Format:
    """Return the export format of that name.

    Raises:
        UnknownName: there is none.
    """
    if name not in {str(known) for known in EXPORT_FORMATS}:
        raise UnknownName("format", name, EXPORT_FORMATS)
    return Format(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputParity:
    """Difference of one output from the checkpoint's in torch.

    `cosine` is the smallest over the examples (for a bare encoder: of mean-pooled states), `mean_cosine` their mean;
    `argmax_agreement` is the share of answers (labels, labels of tokens, positions) that are the same; None where the
    output has none.
    """

    name: str
    max_abs_diff: float
    cosine: float
    mean_cosine: float
    argmax_agreement: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Difference of the exported file's outputs from the checkpoint's in torch, over `examples` inputs.

    Each figure is that of the worst of `outputs`. `runtime`: what ran the file, with its version.
    """

    max_abs_diff: float
    cosine: float
    mean_cosine: float
    argmax_agreement: float | None
    examples: int
    runtime: str | None = None
    outputs: tuple[OutputParity, ...] = ()

    @classmethod
    def from_json(cls, values: Any) -> Parity:
        """Return the parity that plain values describe.

        Raises:
            StoreError: the values are not valid.
        """
        return from_plain(cls, values, where="parity", error=StoreError, allow_unknown=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactFile:
    """A file of an artifact; `name` has no folder in it."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An exported model on this machine: `path` is its folder, the first of `files` the model.

    Unknown values of an existing file (its vocabulary, its longest sequence) are None.

    Args:
        buckets: lengths in tokens that the file has a signature for (TFLite), ascending; an input is padded to the
            smallest that holds it.
        choices: sequences of one example, where the file fixes them (multiple choice in TFLite).
        parity: with the runtime of this machine.
        parity_elsewhere: with other runtimes that boards have.
        refused_by: runtimes that can't read the file, with their messages.
        pooling: what the file itself makes one vector of a text with, e.g. `cls, normalize`; None: it answers states or
            decisions.
        notes: what a person should know of the checkpoint, e.g. weights that are not used.
    """

    format: Format
    files: tuple[ArtifactFile, ...]
    path: Path
    parity: Parity | None = None
    parity_elsewhere: tuple[Parity, ...] = ()
    refused_by: Mapping[str, str] = field(default_factory=dict)
    buckets: tuple[int, ...] = ()
    choices: int | None = None
    max_seq_len: int | None = None  # tokens, special ones included
    vocab_size: int | None = None
    pad_token_id: int = 1
    head: str | None = None  # the checkpoint's architecture, e.g. XLMRobertaForSequenceClassification
    seconds: float | None = None  # the export's duration; None where it was not exported
    peak_rss_bytes: int | None = None  # the export's
    tokenizer: str | None = None  # folder or hub id that holds the tokenizer
    pooling: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """The content's identity: the file's own hash, or the hash of the list of hashes and names."""
        if len(self.files) == 1:
            return self.files[0].sha256
        listing = "".join(f"{file.sha256}  {file.name}\n" for file in self.files)
        return hashlib.sha256(listing.encode()).hexdigest()

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(file.bytes for file in self.files)

    @property
    def model_path(self) -> Path:
        """The model file itself."""
        return self.path / self.files[0].name

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as `artifact.json` and the store hold them."""
        plain: dict[str, Any] = to_plain(self)
        return plain | {"sha256": self.sha256, "bytes": self.bytes}

    def to_result(self) -> dict[str, Any]:
        """Return plain values as results show them: `files` are names in `path`, the first is the model."""
        return self.to_json() | {"files": [file.name for file in self.files]}

    @classmethod
    def from_json(cls, values: Any, *, path: Path | None = None) -> Artifact:
        """Return the artifact that `to_json` described, in folder `path` (default: where it was).

        Raises:
            StoreError: the values are not valid.
        """
        artifact = from_plain(cls, values, where="artifact", error=StoreError, allow_unknown=True)
        return artifact if path is None else replace(artifact, path=path)


def hash_file(path: Path, *, on_bytes: Callable[[int], None] | None = None) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal.

    Raises:
        StoreError: it can't be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                if on_bytes is not None:
                    on_bytes(len(chunk))
    except OSError as error:
        raise StoreError(f"can't read {path}: {error.strerror}") from error
    return digest.hexdigest()
