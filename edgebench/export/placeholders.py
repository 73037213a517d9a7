"""Files that are not yet the model: empty ones, pointers of Git LFS or Xet, pages that a server sent instead."""

from __future__ import annotations

from pathlib import Path

from edgebench.errors import CheckpointError
from edgebench.reading import open_file

_POINTER = b"version https://git-lfs.github.com"
_XET_POINTER = b"# xet version"
_PAGES = (b"<!doctype", b"<html", b"<?xml")


def refuse_placeholder(path: Path, *, what: str = "the model") -> None:
    """Raise CheckpointError if a file can't be read, or is empty, a pointer of Git LFS or Xet, or HTML."""
    try:
        with open_file(path) as file:
            head = file.read(256)
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {error.strerror}") from error
    if not head:
        raise CheckpointError(f"{path} is empty (0 bytes); copy or download it again")
    if head.startswith(_POINTER):
        raise CheckpointError(f"{path} is a pointer of Git LFS, not {what}; try: git lfs pull")
    if head.startswith(_XET_POINTER):
        raise CheckpointError(f"{path} is a pointer of Xet, not {what}; try: huggingface-cli download")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGES):
        raise CheckpointError(f"{path} is a page of HTML, not {what}; download the file itself")
