"""Folders: where in the folder that the user named the checkpoint is, or what there is instead."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from edgebench.errors import CheckpointError
from edgebench.export.sentence_modules import is_sentence_folder, transformer_folder

CONFIG = "config.json"
ADAPTER = "adapter_config.json"
#: Weight files, in order of preference; an index lists the shards.
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")

_TRAINED = re.compile(r"checkpoint-(\d+)")
#: Weights that are not read, and how to get ones that are.
_FOREIGN = (
    ("*.h5", "TensorFlow's"),
    ("*.msgpack", "Flax's"),
    ("*.gguf", "llama.cpp's"),
    ("*.ckpt", "Lightning's or TensorFlow's"),
    ("*.pt", "a file of torch"),
    ("*.pth", "a file of torch"),
    ("global_step*", "DeepSpeed's; zero_to_fp32.py makes one file of them"),
    ("*.safetensors", "under another name"),
    ("*.bin", "under another name"),
)


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds an adapter (LoRA) without its base.

    Raises:
        CheckpointError: it holds both an adapter and weights: which of them is meant can't be known.
    """
    if not (folder / ADAPTER).is_file():
        return False
    if has_weights(folder):
        raise CheckpointError(
            f"{folder} holds an adapter ({ADAPTER}) beside weights: are they its base, or merged already?",
            hint=f"remove {ADAPTER} if they are merged, else put the adapter into a folder of its own",
        )
    return True


def has_weights(folder: Path) -> bool:
    """Return whether a folder has weights that can be read."""
    return any((folder / name).is_file() for name in WEIGHTS)


def find_config(folder: Path) -> Path:
    """Return the folder that has the checkpoint's config.json: the folder itself, or its encoder's.

    Raises:
        CheckpointError: there is none; the message points to what there is.
    """
    if (folder / CONFIG).is_file():
        return folder
    if is_sentence_folder(folder):
        found = transformer_folder(folder)
        if (found / CONFIG).is_file():
            return found
        raise CheckpointError(f"{found} is not a checkpoint: it has no {CONFIG}")
    raise CheckpointError(f"{folder} is not a checkpoint: it has no {CONFIG}", hint=_point_from(folder))


def no_weights(folder: Path) -> CheckpointError:
    """Return the error for a folder with a config.json and no weights; it points to what there is."""
    foreign = _foreign(folder)
    return CheckpointError(
        f"{folder} has no weights; looked for {', '.join(WEIGHTS)}{foreign}",
        hint=_point_from(folder) or ("save it with save_pretrained()" if foreign else None),
    )


def _point_from(folder: Path) -> str | None:
    """Return what to try instead of a folder, or None."""
    exported = min([*folder.glob("*/artifact.json"), *folder.glob("*/*/artifact.json")], default=None)
    if exported is not None:
        return f"try one of the exported files in it: {exported.parent}"
    subfolders = sorted(path for path in _subfolders(folder) if (path / CONFIG).is_file() or (path / ADAPTER).is_file())
    if trained := sorted((path for path in subfolders if _TRAINED.fullmatch(path.name)), key=_step):
        names = ", ".join(path.name for path in trained[-3:])
        what = "a checkpoint" if len(trained) == 1 else f"{len(trained)} checkpoints"
        return f"it holds {what} of a training ({names}): try {trained[-1]}"
    if subfolders:
        return f"try {' or '.join(str(path) for path in subfolders[:3])}"
    if files := sorted([*folder.glob("*.onnx"), *folder.glob("*/*.onnx"), *folder.glob("*/*.tflite")]):
        more = f" (or another of {len(files)})" if len(files) > 1 else ""
        return f"try the file {files[0]}{more}"
    if has_weights(folder):
        return f"it has weights; save its {CONFIG} beside them, with save_pretrained()"
    foreign = _foreign(folder)
    return foreign.removeprefix("; ") + "; save it with save_pretrained()" if foreign else None


def _subfolders(folder: Path) -> Iterable[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except OSError:
        return []


def _step(path: Path) -> int:
    return int(path.name.rsplit("-", 1)[1])


def _foreign(folder: Path) -> str:
    """Return the weights in a folder that are not read, in words; empty if there are none."""
    for pattern, what in _FOREIGN:
        if found := sorted(folder.glob(pattern)):
            return f"; it has {found[0].name} ({what})"
    return ""
