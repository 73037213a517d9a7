"""Export: turns a checkpoint into an artifact that is checked against torch and cached by content.

In: a folder, hub id, reference name or existing file. Out: an `Exported` (Variant and Artifact).
"""

from __future__ import annotations

from edgebench.export.cache import RECORD, cache_folder, copy_artifact, remembered_hash
from edgebench.export.companions import config_folder
from edgebench.export.existing import existing_file, exported_before
from edgebench.export.file_formats import recorded_format, refuse_other_formats
from edgebench.export.file_sizes import model_sizes, parameters_of, predicted_bytes
from edgebench.export.floors import BOUNDS, Bound, check_floor
from edgebench.export.keep_texts import keep_of
from edgebench.export.names import unique_names
from edgebench.export.pipeline import Exported, export_model
from edgebench.export.sentence_modules import SENTENCE_EMBEDDING, VECTOR, SentenceModules, sentence_modules_of
from edgebench.export.sources import (
    checked_length,
    describe_checkpoint,
    is_sentence_model,
    longest_input,
    refuse_texts,
    shapes_of,
)
from edgebench.export.tflite_file import LARGEST_FLATBUFFER_BYTES
from edgebench.export.tflite_runtimes import tflite_runtime_python
from edgebench.export.tokenizer_files import TOKENIZER_FILES, deciding_files
from edgebench.export.tokens import encode_texts, open_tokenizer
from edgebench.export.trimming import trimmed_vocabulary

__all__ = [
    "BOUNDS",
    "LARGEST_FLATBUFFER_BYTES",
    "RECORD",
    "SENTENCE_EMBEDDING",
    "TOKENIZER_FILES",
    "VECTOR",
    "Bound",
    "Exported",
    "SentenceModules",
    "cache_folder",
    "check_floor",
    "checked_length",
    "config_folder",
    "copy_artifact",
    "deciding_files",
    "describe_checkpoint",
    "encode_texts",
    "existing_file",
    "export_model",
    "exported_before",
    "is_sentence_model",
    "keep_of",
    "longest_input",
    "model_sizes",
    "open_tokenizer",
    "parameters_of",
    "predicted_bytes",
    "recorded_format",
    "refuse_other_formats",
    "refuse_texts",
    "remembered_hash",
    "sentence_modules_of",
    "shapes_of",
    "tflite_runtime_python",
    "trimmed_vocabulary",
    "unique_names",
]
