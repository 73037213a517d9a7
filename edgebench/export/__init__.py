"""Export: turns a checkpoint into an artifact that is checked against torch and cached by content.

In: a folder, hub id, reference name or existing file. Out: an `Exported` (Variant and Artifact).
"""

from __future__ import annotations

from edgebench.export.cache import RECORD, cache_folder, copy_artifact, remembered_hash
from edgebench.export.companions import config_folder
from edgebench.export.existing import existing_file, exported_before
from edgebench.export.file_formats import recorded_format, refuse_other_formats
from edgebench.export.floors import BOUNDS, Bound
from edgebench.export.names import unique_names
from edgebench.export.pipeline import Exported, export_model
from edgebench.export.sentence_modules import SENTENCE_EMBEDDING, VECTOR, SentenceModules, sentence_modules_of
from edgebench.export.sources import is_sentence_model, longest_input, refuse_texts
from edgebench.export.tflite_runtimes import tflite_runtime_python
from edgebench.export.tokenizer_files import TOKENIZER_FILES, deciding_files
from edgebench.export.tokens import encode_texts, open_tokenizer

__all__ = [
    "BOUNDS",
    "RECORD",
    "SENTENCE_EMBEDDING",
    "TOKENIZER_FILES",
    "VECTOR",
    "Bound",
    "Exported",
    "SentenceModules",
    "cache_folder",
    "config_folder",
    "copy_artifact",
    "deciding_files",
    "encode_texts",
    "existing_file",
    "export_model",
    "exported_before",
    "is_sentence_model",
    "longest_input",
    "open_tokenizer",
    "recorded_format",
    "refuse_other_formats",
    "refuse_texts",
    "remembered_hash",
    "sentence_modules_of",
    "tflite_runtime_python",
    "unique_names",
]
