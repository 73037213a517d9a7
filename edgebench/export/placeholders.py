"""Files that are not yet the model: empty ones, pointers of Git LFS or Xet, pages that a server sent instead."""

from __future__ import annotations

from pathlib import Path

from edgebench.errors import CheckpointError
from edgebench.reading import open_file

_PAGES = (b"<!doctype", b"<html", b"<?xml")
#: What stands in for a file, by how it begins, and how to get the file.
_POINTERS = (
    (b"version https://git-lfs", "a git-lfs pointer", "try: git lfs pull"),
    (b"# xet version", "a pointer of Xet", "try: hf download"),
)


def describe_placeholder(path: Path) -> tuple[str, str] | None:
    """Return what stands in for a file, and how to get the file; None: it is no placeholder, or can't be read."""
    try:
        with open_file(path) as file:
            head = file.read(256)
    except OSError:
        return None
    for start, what, hint in _POINTERS:
        if head.startswith(start):
            return what, hint
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGES):
        return "a page of HTML", "download the file itself"
    return None


def refuse_placeholder(path: Path, *, what: str = "the model") -> None:
    """Raise CheckpointError if a file can't be read, or is empty, a pointer of Git LFS or Xet, or HTML."""
    try:
        with open_file(path) as file:
            is_empty = not file.read(1)
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {error.strerror}") from error
    if is_empty:
        raise CheckpointError(f"{path} is empty (0 bytes); copy or download it again")
    if (found := describe_placeholder(path)) is not None:
        kind, hint = found
        raise CheckpointError(f"{path} is {kind}, not {what}; {hint}")
