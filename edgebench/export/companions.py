"""What lies beside a model file, as Optimum and other exporters leave it: tokenizer and config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgebench.artifact import Artifact
from edgebench.export.families import FAMILIES, known_size
from edgebench.export.folders import CONFIG
from edgebench.export.geometry import architectures
from edgebench.export.heads import HEADS
from edgebench.export.json_files import read_json_object
from edgebench.export.segments import find_separator
from edgebench.export.tokenizer_files import has_tokenizer

#: Folders of a repository that hold its model files; tokenizer and config are then one folder above.
_FOLDERS_OF_FILES = ("onnx", "tflite")
#: Families without a row in families.py that number positions from the padding's id + 1 on; the others begin with 0.
_POSITIONS_AFTER_PADDING = ("camembert", "xmod", "mpnet", "longformer", "data2vec-text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Companions:
    """The tokenizer's folder (absolute), and the entries of config.json; None and empty: there is none."""

    tokenizer: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def head(self) -> str | None:
        """The architecture that the config names."""
        return next(iter(architectures(self.config)), None)

    @property
    def pad_token_id(self) -> int | None:
        """The padding's id; where the config leaves it out, its family's."""
        return known_size(self.config, "pad_token_id", least=0)

    @property
    def vocab_size(self) -> int | None:
        """Rows of the table of embeddings."""
        return self._size("vocab_size")

    @property
    def positions(self) -> int | None:
        """Rows of the table of positions."""
        return self._size("max_position_embeddings")

    @property
    def separator(self) -> int | None:
        """The token that ends the first text of a pair, where the model tells the second text by its token types."""
        types = known_size(self.config, "type_vocab_size", least=0)
        if self.tokenizer is None or (types is not None and types < 2):
            return None
        return find_separator(Path(self.tokenizer))

    def head_with(self, outputs: Mapping[str, int | None]) -> str | None:
        """Return the architecture that the config names, if a file has the outputs of such a head.

        Args:
            outputs: of the file: the number of dimensions by name; None: not known.
        """
        if self.head is None:
            return None
        suffix = self.head.rpartition("For")[2] if "For" in self.head else "Model"
        wanted = [output for head in HEADS.values() if head.architecture.endswith(suffix) for output in head.outputs]
        fits = [outputs.get(each.name, 0) in (None, 1 + each.answer.dimensions) for each in wanted]
        return self.head if fits and all(fits) else None

    def first_position(self, positions: int | None) -> int:
        """Return the position of an input's first token; without a config, by the rows of the table of positions.

        XLM-R's tables have two rows more than the longest input: 514. Others have 512.
        """
        if (model_type := self.config.get("model_type")) is not None:
            family, pad = FAMILIES.get(str(model_type)), self.pad_token_id
            counts = family.positions_after_padding if family else model_type in _POSITIONS_AFTER_PADDING
            return (1 if pad is None else pad) + 1 if counts else 0
        return 2 if positions is None or positions % 8 == 2 else 0

    def _size(self, name: str) -> int | None:
        """Return a size that the config states: a file may have another than its family's default."""
        value = self.config.get(name)
        return value if type(value) is int and 1 <= value < 1 << 31 else None


def companions_of(model: Path) -> Companions:
    """Return what lies beside a model file, or in the folder above one that is called `onnx`.

    Raises:
        CheckpointError: there is a config.json that can't be read.
    """
    folders = _folders_of(model)
    tokenizers = [folder for folder in folders if has_tokenizer(folder)]
    config = _config_in(folders)
    return Companions(
        tokenizer=str(tokenizers[0].absolute()) if tokenizers else None,
        config=read_json_object(config) if config is not None else {},
    )


def config_folder(artifact: Artifact) -> Path | None:
    """Return the folder with the config.json of an artifact's model: its file's, else its tokenizer's; None: neither.

    The two differ where an exporter wrote the tokenizer to one folder and left the config in the other.
    """
    folders = _folders_of(artifact.model_path)
    if artifact.tokenizer is not None:
        tokenizer = Path(artifact.tokenizer)
        folders += [tokenizer, *([tokenizer.parent] if tokenizer.name in _FOLDERS_OF_FILES else [])]
    found = _config_in(folders)
    return found.parent if found is not None else None


def _folders_of(model: Path) -> list[Path]:
    folder = model.parent.absolute()
    return [model.parent, *([folder.parent] if folder.name in _FOLDERS_OF_FILES else [])]


def _config_in(folders: Iterable[Path]) -> Path | None:
    return next((folder / CONFIG for folder in folders if (folder / CONFIG).is_file()), None)
