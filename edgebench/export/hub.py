"""Hub: downloads a checkpoint from the Hugging Face hub, into the cache of huggingface_hub."""

from __future__ import annotations

import re
from pathlib import Path

from edgebench.errors import CheckpointError, MissingExtra
from edgebench.export.sentence_modules import module_paths
from edgebench.export.tokenizer_files import ALL_TOKENIZER_FILES

_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_DESCRIPTIONS = ["*.json", *(name for name in ALL_TOKENIZER_FILES if not name.endswith(".json"))]
_SAFETENSORS, _BIN = ["model*.safetensors", "adapter_model*.safetensors"], ["pytorch_model*.bin", "adapter_model*.bin"]


def may_be_hub_id(source: str) -> bool:
    """Return whether a name has the form of a hub id: NAME or OWNER/NAME."""
    return _ID.fullmatch(source) is not None


def download(hub_id: str, *, with_weights: bool = True) -> Path:
    """Return the folder of a hub checkpoint, downloaded if necessary: safetensors if available, else .bin.

    Args:
        with_weights: False: only config, tokenizer and other descriptions are needed.

    Raises:
        CheckpointError: the hub can't be reached, or has no such checkpoint.
        MissingExtra: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            LocalEntryNotFoundError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
        )
    except ImportError as error:
        raise MissingExtra("huggingface_hub", "export", f"downloading {hub_id}") from error

    def fetch(patterns: list[str]) -> Path:
        # only the top folder: subfolders contain the same weights in other formats
        return Path(snapshot_download(hub_id, allow_patterns=patterns, ignore_patterns=["*/*"]))

    try:
        if not with_weights:
            return fetch(_DESCRIPTIONS)
        folder = fetch(_DESCRIPTIONS + _SAFETENSORS)
        if not any(folder.glob("*.safetensors")):
            folder = fetch(_DESCRIPTIONS + _BIN)
        if modules := module_paths(folder):
            # small ones: 1_Pooling, 2_Dense; with an encoder in 0_Transformer, its weights too
            wanted = [f"{module}/{pattern}" for module in modules for pattern in (*_DESCRIPTIONS, *_SAFETENSORS, *_BIN)]
            folder = Path(snapshot_download(hub_id, allow_patterns=wanted))
        return folder
    except GatedRepoError as error:
        raise CheckpointError(f"{hub_id} is gated: accept its terms on the hub, then run: hf auth login") from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(f"there is no folder {hub_id!r} here and no such checkpoint on the hub") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise CheckpointError(
            f"there is no folder {hub_id!r} here, and the hub can't be reached; "
            "try a local folder, or download it where there is a network"
        ) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{hub_id} can't be downloaded from the hub: {reason}") from error
