"""Checkpoint: the model to export, located and checked without importing torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgebench.artifact import Trimming
from edgebench.errors import CheckpointError, StoreError
from edgebench.export.config_checks import refuse_quantised, refuse_remote_code
from edgebench.export.folder_files import refuse_foreign_files, refuse_foreign_module
from edgebench.export.folders import CONFIG, WEIGHTS, find_config, no_weights
from edgebench.export.geometry import Geometry, architectures, geometry_from_config
from edgebench.export.geometry_limits import refuse_large_sizes, refuse_other_sizes
from edgebench.export.heads import Answer, Head, Output, find_head
from edgebench.export.json_files import read_json_object
from edgebench.export.reference import find_reference
from edgebench.export.segments import find_separator
from edgebench.export.sentence_modules import (
    SENTENCE_EMBEDDING,
    VECTOR,
    SentenceModules,
    is_sentence_folder,
    read_modules,
)
from edgebench.export.tokenizer_files import has_tokenizer
from edgebench.reading import is_file
from edgebench.serialisation import from_plain
from edgebench.variant import Lineage

#: What a checkpoint with a trimmed vocabulary says of it.
TRIMMING = "trimming.json"
_SPANS, _VOCABULARY = "question-answering", "masked-lm"
_REFERENCE_TASK = "sequence-classification"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A local Hugging Face folder, or (`folder` None) a reference model without files.

    Args:
        folder: has config.json, weights and tokenizer.
        root: the folder that was named, where that is another one: sentence-transformers may have its encoder in a
            subfolder.
        sentence: what makes one vector of the encoder's states, where that is exported too.
        trimming: what its vocabulary was cut to by an earlier export; None: nothing.
    """

    source: str
    folder: Path | None
    weight_files: tuple[Path, ...]
    geometry: Geometry
    head: Head
    problem_type: str | None = None  # as in config.json: what the labels of a classification mean
    root: Path | None = None
    sentence: SentenceModules | None = None
    trimming: Trimming | None = None

    @property
    def max_seq_len(self) -> int:
        """The longest input in tokens: the model's positions, or where sentence-transformers cuts texts."""
        limit = self.sentence.max_seq_length if self.sentence is not None else None
        return min(self.geometry.max_seq_len, limit or self.geometry.max_seq_len)

    @property
    def content_files(self) -> tuple[Path, ...]:
        """All files of weights."""
        return (*self.weight_files, *(self.sentence.weight_files if self.sentence is not None else ()))

    @property
    def tokenizer(self) -> str | None:
        """The folder, if it contains a tokenizer. Absolute, because the artifact is used from other working folders."""
        if self.folder is None:
            return None
        return str(self.folder.absolute()) if has_tokenizer(self.folder) else None


def reference_checkpoint(source: str, *, task: str | None) -> Checkpoint:
    """Return the reference model `reference:NAME`, by default with a three-label classification head.

    Raises:
        UnknownName: there is no such reference model or task.
    """
    if task == SENTENCE_EMBEDDING:
        raise CheckpointError(f"{source} is a bare encoder: it has no modules that make one vector of a text")
    head = find_head(task or _REFERENCE_TASK, [], where=source)
    geometry = find_reference(source)
    if head.task == _SPANS:
        geometry = replace(geometry, num_labels=2)
    return Checkpoint(source=source, folder=None, weight_files=(), geometry=geometry, head=head)


def open_checkpoint(folder: Path, *, source: str, task: str | None, with_weights: bool = True) -> Checkpoint:
    """Return the checkpoint in a local folder.

    Args:
        with_weights: False: its weights need not be there, for a plan of its export.

    Raises:
        CheckpointError: its config or weights are missing, or its architecture or head is not supported.
        UnknownName: there is no such task.
    """
    root, folder = folder, find_config(folder)
    refuse_foreign_files(root)
    if folder != root:
        refuse_foreign_module(root, folder)
    path = folder / CONFIG
    config = read_json_object(path)
    refuse_remote_code(config, path)
    refuse_quantised(config, folder)
    geometry = geometry_from_config(config, where=str(folder))
    refuse_large_sizes(geometry, where=str(folder))
    if geometry.type_vocab_size > 1:
        geometry = replace(geometry, separator=find_separator(folder))
    sentence = _sentence_modules(root, geometry, source) if task == SENTENCE_EMBEDDING else None
    head = (
        _sentence_head(geometry, str(folder))
        if sentence
        else find_head(task, architectures(config), family=geometry.family, where=str(folder))
    )
    if head.labels_weight is not None and config.get("id2label") == {}:
        raise CheckpointError(
            f"{path} names no labels (its id2label is empty), and {head.architecture} has a row for each;"
            " name them there, or leave the head out with `task='encoder'`"
        )
    if head.task == _SPANS and geometry.num_labels != 2:
        raise CheckpointError(
            f"{folder}: config.json has {geometry.num_labels} labels; question answering has 2, a start and an end"
        )
    if head.task == _VOCABULARY and config.get("tie_word_embeddings") is False:
        raise CheckpointError(
            f"{folder}: a masked language model whose decoder is not tied to its embeddings is not supported"
        )
    weight_files = _weight_files(folder) if with_weights else ()
    refuse_other_sizes(geometry, weight_files, where=str(folder))
    problem_type = config.get("problem_type")
    return Checkpoint(
        source=source,
        folder=folder,
        weight_files=weight_files,
        geometry=geometry,
        head=head,
        problem_type=problem_type if isinstance(problem_type, str) else None,
        root=root if root != folder else None,
        sentence=sentence,
        trimming=_read_trimming(folder),
    )


def _sentence_modules(root: Path, geometry: Geometry, source: str) -> SentenceModules:
    if not is_sentence_folder(root):
        raise CheckpointError(
            f"{source} has no modules.json: it does not say how one vector is made of the states",
            hint="save it with sentence-transformers, or export the states with `task='encoder'`",
        )
    return read_modules(root, hidden_size=geometry.hidden_size)


def _sentence_head(geometry: Geometry, where: str) -> Head:
    """Return the encoder with one output: the vector that the modules after it make."""
    encoder = find_head("encoder", [], family=geometry.family, where=where)
    return replace(encoder, task=SENTENCE_EMBEDDING, outputs=(Output(VECTOR, Answer.VECTOR),))


def read_lineage(folder: Path) -> Lineage | None:
    """Return the contents of `lineage.json` in a checkpoint's folder; None if there is no such file.

    Raises:
        CheckpointError: it is not JSON.
        ConfigError: it has an unknown key or kind.
    """
    path = folder / "lineage.json"
    return Lineage.from_json(read_json_object(path), where=str(path)) if path.is_file() else None


def _read_trimming(folder: Path) -> Trimming | None:
    path = folder / TRIMMING
    if not path.is_file():
        return None
    try:
        return from_plain(Trimming, read_json_object(path), where=str(path), error=StoreError, allow_unknown=True)
    except StoreError as error:
        raise CheckpointError(str(error)) from error


def _weight_files(folder: Path) -> tuple[Path, ...]:
    for name in WEIGHTS:
        path = folder / name
        if not path.is_file():
            continue
        return _shards(path) if name.endswith(".json") else (path,)
    raise no_weights(folder)


def _shards(index: Path) -> tuple[Path, ...]:
    weight_map = read_json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise CheckpointError(f"{index} has no weight_map")
    names = sorted(set(weight_map.values()))
    for name in names:
        if Path(name).name != name:
            raise CheckpointError(f"{index} names a shard outside its folder: {name!r}")
        if not is_file(index.parent / name):
            raise CheckpointError(f"{index.parent} lacks the shard {name}; try to download the checkpoint again")
    return tuple(index.parent / name for name in names)
