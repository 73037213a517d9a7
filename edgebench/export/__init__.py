"""Export: a checkpoint becomes an artifact, checked against torch and cached by content.

A folder, hub id, reference name or existing file comes in; an `Exported` (Variant and Artifact) comes out.
"""

from __future__ import annotations

from edgebench.export.cache import cache_folder
from edgebench.export.checkpoint import TOKENIZER_FILES
from edgebench.export.existing import existing_file
from edgebench.export.names import unique_names
from edgebench.export.parity import BOUNDS, Bound
from edgebench.export.pipeline import Exported, export_model
from edgebench.export.sources import longest_input, refuse_texts
from edgebench.export.tflite_runtimes import tflite_runtime_python
from edgebench.export.tokens import encode_texts, open_tokenizer

__all__ = [
    "BOUNDS",
    "TOKENIZER_FILES",
    "Bound",
    "Exported",
    "cache_folder",
    "encode_texts",
    "existing_file",
    "export_model",
    "longest_input",
    "open_tokenizer",
    "refuse_texts",
    "tflite_runtime_python",
    "unique_names",
]
