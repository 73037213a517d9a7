"""Copies: an artifact's files in the folder that the user named, with what they need beside them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from edgebench.artifact import Artifact
from edgebench.export import cache as artifacts
from edgebench.export.folders import CONFIG
from edgebench.export.sentence_modules import sentence_modules_of
from edgebench.export.tokenizer_files import ALL_TOKENIZER_FILES
from edgebench.variant import Variant


def copy_out(variant: Variant, artifact: Artifact, out: Path) -> Artifact:
    """Copy an artifact's files to OUT/<name>/<format>/; return the copy."""
    folder_name = re.sub(r"[^\w.-]+", "-", variant.name).strip(".-") or "model"
    folder = out / folder_name / str(artifact.format)
    if artifact.trimming is not None and artifact.tokenizer is not None:
        _copy_tokenizer(Path(artifact.tokenizer), folder)
        if sentence_modules_of(artifact.tokenizer) is None:  # else the modules are only in the checkpoint's folder
            artifact = replace(artifact, tokenizer=str(folder.absolute()))
    return artifacts.copy_artifact(artifact, folder, extra={"variant": variant.to_json()})


def _copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy a trimmed checkpoint's tokenizer and config.json beside the file: no other folder has them."""
    for name in (*ALL_TOKENIZER_FILES, CONFIG):
        if (source / name).is_file():
            with artifacts.writing(folder):
                content = (source / name).read_bytes()
            artifacts.write_atomically(folder / name, content)
