"""What lies beside a model file, as Optimum and other exporters leave it: tokenizer and config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgebench.export.checkpoint import TOKENIZER_FILES
from edgebench.export.geometry import architectures
from edgebench.export.json_files import read_json_object
from edgebench.export.segments import find_separator

#: Folders of a repository that hold its model files; tokenizer and config are then one folder above.
_FOLDERS_OF_FILES = ("onnx", "tflite")
#: Families that number positions from the padding's id + 1 on; the others begin with 0.
_POSITIONS_AFTER_PADDING = (
    "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "xmod", "mpnet", "longformer", "data2vec-text",
)  # fmt: skip


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
        """The padding's id."""
        return self._size("pad_token_id", least=0)

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
        if self.tokenizer is None or self.config.get("type_vocab_size") == 1:
            return None
        return find_separator(Path(self.tokenizer))

    def first_position(self, positions: int | None) -> int:
        """Return the position of an input's first token; without a config, by the rows of the table of positions.

        XLM-R's tables have two rows more than the longest input: 514. Others have 512.
        """
        if (family := self.config.get("model_type")) is not None:
            pad = self.pad_token_id
            return (1 if pad is None else pad) + 1 if family in _POSITIONS_AFTER_PADDING else 0
        return 2 if positions is None or positions % 8 == 2 else 0

    def _size(self, name: str, *, least: int = 1) -> int | None:
        value = self.config.get(name)
        return value if type(value) is int and least <= value < 1 << 31 else None


def companions_of(model: Path) -> Companions:
    """Return what lies beside a model file, or in the folder above one that is called `onnx`.

    Raises:
        CheckpointError: there is a config.json that can't be read.
    """
    folders = [model.parent]
    if model.parent.absolute().name in _FOLDERS_OF_FILES:
        folders.append(model.parent.absolute().parent)
    tokenizers = [folder for folder in folders if any((folder / name).is_file() for name in TOKENIZER_FILES)]
    configs = [folder / "config.json" for folder in folders if (folder / "config.json").is_file()]
    return Companions(
        tokenizer=str(tokenizers[0].absolute()) if tokenizers else None,
        config=read_json_object(configs[0]) if configs else {},
    )
