"""The files of a checkpoint's folder that libraries open by themselves: regular files, inside the folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgebench.errors import CheckpointError
from edgebench.reading import check_files, is_folder, resolved_inside

#: Endings of what transformers, tokenizers, sentencepiece, safetensors, torch and peft read.
READ = (".json", ".txt", ".model", ".safetensors", ".bin", ".vocab", ".jinja", ".py")


def refuse_foreign_files(folder: Path) -> None:
    """Refuse a checkpoint's folder in which a file that is read leads out of it, or is a pipe, a device or a socket.

    The modules of sentence-transformers (1_Pooling, ...) are part of it; links into the blobs of the hub's cache, of
    which the folder is a snapshot, are not refused.

    Raises:
        CheckpointError: it names the file.
    """
    check_files(folder, _read_files(folder), CheckpointError)


def refuse_foreign_module(folder: Path, module: Path) -> None:
    """Refuse a module in a subfolder of a checkpoint as `refuse_foreign_files` does.

    Raises:
        CheckpointError: it names the file or the module's folder.
    """
    if not resolved_inside(module, folder):
        raise CheckpointError(f"can't read {module}: it leads out of {folder}; copy it there")
    if is_folder(module) and module.resolve() != folder.resolve():
        check_files(folder, (path for path in sorted(module.iterdir()) if path.suffix in READ), CheckpointError)


def is_module(folder: Path) -> bool:
    """Return whether sentence-transformers keeps a module in this folder, such as 1_Pooling."""
    return folder.name.split("_")[0].isdigit()


def _read_files(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise CheckpointError(f"can't read {folder}: {error.strerror}") from error
    for path in entries:
        if path.suffix in READ:
            yield path
        elif is_module(path) and path.is_dir():
            yield from sorted(inner for inner in path.iterdir() if inner.suffix in READ)
