"""Artifact: the exported files of a Variant in one Format, identified by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

from edgebench.errors import StoreError, UnknownName
from edgebench.prediction import ModelSizes
from edgebench.quality import QualityFloor
from edgebench.reading import open_file
from edgebench.serialisation import from_plain, to_plain

_CHUNK_BYTES = 1 << 20


class Format(StrEnum):
    """File format and precision of a model. `ONNX` and `TFLITE` are existing files, profiled as they are.

    `TFLITE_INT8` has a scale for each channel of a weight (each row of an embedding); `TFLITE_INT8_PER_TENSOR` has one
    scale for the entire weight, which is all that tflite-runtime computes.
    """

    ONNX_FP32 = "onnx-fp32"
    ONNX_FP16 = "onnx-fp16"
    ONNX_INT8 = "onnx-int8"
    ONNX_INT4 = "onnx-int4"
    TFLITE_FP32 = "tflite-fp32"
    TFLITE_INT8 = "tflite-int8"
    TFLITE_INT8_PER_TENSOR = "tflite-int8-per-tensor"
    ONNX = "onnx"
    TFLITE = "tflite"

    @property
    def runtime(self) -> str:
        """The runtime of the agent that reads it."""
        return "tflite" if self.partition("-")[0] == "tflite" else "onnxruntime"

    @property
    def precision(self) -> str | None:
        """Fp32, fp16, int8 or int4; None: of an existing file, whose precision is not known."""
        return self.split("-")[1] if "-" in self else None


class WeightScales(StrEnum):
    """What has a scale of its own in int8 weights: a channel (of an embedding: a row), or the entire tensor."""

    CHANNEL = "channel"
    TENSOR = "tensor"


#: Ending of the class in transformers, by the kind of head.
HEAD_CLASSES = {
    "sequence-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
    "multiple-choice": "ForMultipleChoice",
    "masked-lm": "ForMaskedLM",
    "encoder": "Model",
}

#: Formats of files that edgebench did not make, by suffix.
EXISTING_FORMATS = {".onnx": Format.ONNX, ".tflite": Format.TFLITE}

#: Formats that edgebench can export to.
EXPORT_FORMATS = tuple(format for format in Format if format not in EXISTING_FORMATS.values())

#: Stands for all of them where several formats can be named.
ALL_FORMATS = "all"


def format_of_file(path: Path) -> Format | None:
    """Return the format of a model file by its suffix, in whatever case; None: it is no model file."""
    return EXISTING_FORMATS.get(path.suffix.lower())


def parse_format(name: str) -> Format:
    """Return the export format of that name.

    Raises:
        UnknownName: there is none.
    """
    if name not in {str(known) for known in EXPORT_FORMATS}:
        raise UnknownName("format", name, EXPORT_FORMATS)
    return Format(name)


def parse_formats(names: Iterable[str]) -> tuple[Format, ...]:
    """Return the distinct export formats of these names, in order; `all` stands for every one.

    Raises:
        UnknownName: there is none of a name.
    """
    found = [EXPORT_FORMATS if name == ALL_FORMATS else (parse_format(name),) for name in names]
    return tuple(dict.fromkeys(format for formats in found for format in formats))


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputParity:
    """Difference of one output from the checkpoint's in torch.

    `cosine` is the smallest over the examples (for a bare encoder: of mean-pooled states), `mean_cosine` their mean;
    `argmax_agreement` is the share of answers (labels, labels of tokens, positions) that are the same; None where the
    output has none. The others are None where they do not apply, or are not known:

    rank_correlation: Spearman's, of the examples by a single logit; for a bare encoder: of the pairs of examples by
        their similarity.
    relative_error: root of the mean square error, relative to the standard deviation of torch's numbers.
    label_agreement: multi-label: share of all decisions (the sign of each logit) that are the same;
        worst_label_agreement: that of the worst label.
    """

    name: str
    max_abs_diff: float
    cosine: float
    mean_cosine: float
    argmax_agreement: float | None
    rank_correlation: float | None = None
    relative_error: float | None = None
    label_agreement: float | None = None
    worst_label_agreement: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A figure of parity, held against the limit for the head and the format.

    Attributes:
        output: the output's name; None: of the whole file.
        measure: what the figure is, e.g. "rank correlation".
        limit: the least value that is accepted, or the greatest where a smaller value is better.
    """

    output: str | None
    measure: str
    value: float
    limit: float
    is_met: bool

    @property
    def headroom(self) -> float:
        """How far the figure is from its limit: 0 at the limit, 1 for a perfect one, below 0 beyond it."""
        is_smaller_better = (self.value <= self.limit) == self.is_met and self.value != self.limit
        if is_smaller_better:
            return (self.limit - self.value) / self.limit
        return (self.value - self.limit) / max(1e-9, 1 - self.limit)

    def __str__(self) -> str:
        """Return the figure and its limit in words."""
        output = f" of {self.output}" if self.output is not None else ""
        return f"{self.measure}{output} {self.value:.3g} (limit: {self.limit:.3g})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Difference of the exported file's outputs from the checkpoint's in torch, over `examples` inputs.

    Each figure is that of the worst of `outputs`. `runtime`: what ran the file, with its version. `judgements`: the
    figures that decided whether the file was kept; empty: not known.
    """

    max_abs_diff: float
    cosine: float
    mean_cosine: float
    argmax_agreement: float | None
    examples: int
    runtime: str | None = None
    outputs: tuple[OutputParity, ...] = ()
    judgements: tuple[Judgement, ...] = ()

    @property
    def shortfalls(self) -> tuple[Judgement, ...]:
        """The figures beyond their limits; if there are any, somebody has accepted them."""
        return tuple(judgement for judgement in self.judgements if not judgement.is_met)

    @classmethod
    def from_json(cls, values: Any) -> Parity:
        """Return the parity that plain values describe.

        Raises:
            StoreError: the values are not valid.
        """
        return from_plain(cls, values, where="parity", error=StoreError, allow_unknown=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactFile:
    """A file of an artifact; `name` is its path from the model's folder, with `/` where external data lies deeper."""

    name: str
    sha256: str
    bytes: int

    def __post_init__(self) -> None:
        place = PurePosixPath(self.name)
        if place.is_absolute() or ".." in place.parts or not place.parts or "\0" in self.name:
            raise StoreError(f"a file of an artifact is out of its folder: {self.name!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """How a trimmed tokenizer segments the running words of a language, compared with the one before.

    Attributes:
        name: the language, or the name of the texts.
        unknown: of the `different` words, those with an unknown part that they did not have.
        sample: the words are of the texts shipped with edgebench, by which no piece was chosen. Else they are those of
            every second text that the user gave, segmented with the pieces that the other texts alone would keep.
    """

    name: str
    words: int
    different: int
    unknown: int
    sample: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimming:
    """The vocabulary that a checkpoint was cut to. Sizes in bytes are those of weights and tokenizer."""

    languages: tuple[str, ...]
    texts: tuple[str, ...]
    pieces: int
    pieces_before: int
    parameters: int
    parameters_before: int
    bytes: int
    bytes_before: int
    segmentation: tuple[Segmentation, ...] = ()

    def __str__(self) -> str:
        """Return it in words."""
        names = ", ".join(dict.fromkeys((*self.languages, *self.texts)))
        return f"vocabulary trimmed to {names}: {self.pieces:,} of {self.pieces_before:,} pieces"


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
        weight_scales: TFLite: of int8 weights whose activations are quantised while the model runs (dynamic range);
            None: there are none, or the file can't be read here. Artifacts of earlier versions have None, and their
            tflite-int8 has one scale a tensor.
        first_position: what the input `position_ids` begins with; None: numbered as XLM-R does.
        separator: the token after which the input `token_type_ids` is 1; None: it is 0 everywhere.
        parity_accepted: a figure of parity is beyond its limit, and the user has accepted that.
        tokenizer_sha256: hash of the tokenizer's files when the artifact was made; None: not known, or no tokenizer.
        pooling: what the file itself makes one vector of a text with, e.g. `cls, normalize`; None: it answers states or
            decisions.
        notes: what a person should know of the checkpoint, e.g. weights that are not used.
        trimming: what the vocabulary was cut to; None: it is the checkpoint's.
        quality: the floor that it was made to reach, and the layers in higher precision; None: none was asked for.
        sizes: what its memory depends on; None: not known.
        operators_since: operators of an existing ONNX file that not every onnxruntime has, with the first version that
            does.
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
    first_position: int | None = None
    separator: int | None = None
    tokenizer_sha256: str | None = None
    parity_accepted: bool = False
    pooling: str | None = None
    notes: tuple[str, ...] = ()
    trimming: Trimming | None = None
    quality: QualityFloor | None = None
    weight_scales: WeightScales | None = None
    sizes: ModelSizes | None = None
    operators_since: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("max_seq_len", "vocab_size", "pad_token_id", "first_position", "separator", "choices"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1 << 31:
                raise StoreError(f"{name} can't be {value}")

    def __repr__(self) -> str:
        return f"<Artifact {self.format} {self.sha256[:12]}: {self.bytes / 1e6:.4g} MB, {self.model_path}>"

    @property
    def task(self) -> str | None:
        """The kind of head, by its name for `--task`; None: not known."""
        return next((task for task, ending in HEAD_CLASSES.items() if (self.head or "").endswith(ending)), None)

    @property
    def shortfalls(self) -> tuple[Judgement, ...]:
        """The figures of parity beyond their limits, in all runtimes."""
        checked = (self.parity, *self.parity_elsewhere)
        return tuple(shortfall for parity in checked if parity is not None for shortfall in parity.shortfalls)

    @property
    def peculiarities(self) -> tuple[str, ...]:
        """In words, how the file differs from the plain export of its checkpoint."""
        return tuple(str(each) for each in (self.trimming, self.quality) if each is not None)

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
        with open_file(path) as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                if on_bytes is not None:
                    on_bytes(len(chunk))
    except OSError as error:
        raise StoreError(f"can't read {path}: {error.strerror}") from error
    return digest.hexdigest()


def file_notes(artifacts: Iterable[tuple[str, Artifact]]) -> list[str]:
    """Return what a reader must know of files: a trimmed vocabulary, kept layers, parity that the user accepted.

    Args:
        artifacts: each with the name that the reader knows it by.
    """
    notes = []
    for name, artifact in artifacts:
        notes += [f"file: {name}: {each}" for each in artifact.peculiarities]
        notes += [f"parity: {name}: accepted beyond its limit: {shortfall}" for shortfall in artifact.shortfalls]
    return list(dict.fromkeys(notes))
