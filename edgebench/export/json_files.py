"""JSON files of checkpoints: one way to read them, with errors that name the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgebench.errors import CheckpointError
from edgebench.reading import parse_json, read_text


def read_json_value(path: Path, *, within: Path | None = None) -> Any:
    """Return what a JSON file holds; it may begin with a byte-order mark.

    Args:
        within: the folder that it must not lead out of; default: its own.

    Raises:
        CheckpointError: it can't be read, or is not JSON.
    """
    try:
        return parse_json(read_text(path, within=within or path.parent))
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        CheckpointError: it can't be read, is not JSON, or holds something else.
    """
    values = read_json_value(path)
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return values
