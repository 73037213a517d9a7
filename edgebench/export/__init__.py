"""Export: a checkpoint becomes an artifact, checked against torch and cached by content."""

from __future__ import annotations

from edgebench.export.cache import cache_folder
from edgebench.export.existing import existing_file
from edgebench.export.names import unique_names
from edgebench.export.pipeline import Exported, export_model
from edgebench.export.sources import longest_input, refuse_texts
from edgebench.export.tokens import encode_texts, open_tokenizer

__all__ = [
    "Exported",
    "cache_folder",
    "encode_texts",
    "existing_file",
    "export_model",
    "longest_input",
    "open_tokenizer",
    "refuse_texts",
    "unique_names",
]
