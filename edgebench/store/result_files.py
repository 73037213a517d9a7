"""Result files: which measurements a JSON document that `profile --json` wrote is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgebench.errors import UsageError
from edgebench.reading import MOST_DATA_BYTES, parse_json, read_text
from edgebench.text import printable


def is_file_name(name: str) -> bool:
    """Whether a name of the command line is meant as a file: it ends like one, or there is a file of that name."""
    return name.endswith(".json") or Path(name).is_file()


def measurement_ids(path: Path) -> list[str]:
    """Return the ids of the measurements in a result of `profile`, `runs show` or `runs list`.

    Raises:
        UsageError: the file is missing, is no JSON, or is another document.
    """
    try:
        document = parse_json(read_text(path, most=MOST_DATA_BYTES, within=path.parent))
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(
            f"{path} is not JSON: {printable(str(error))}", hint="name a file of `profile --json`"
        ) from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} is not a result of `profile --json`")
    measured = document.get("measurements")
    if not isinstance(measured, list):
        raise UsageError(f"{path} has no measurements: {_what_it_is(document, path)}")
    ids = [each.get("id") for each in measured if isinstance(each, dict)]
    if not ids or not all(isinstance(id, str) for id in ids):
        raise UsageError(f"{path} has no measurements; name another result of `profile --json`")
    return [str(id) for id in ids]


def _what_it_is(document: dict[str, Any], path: Path) -> str:
    """Return what a document of another kind may be used for."""
    if "baseline" in document or {"figures", "artifact"} <= document.keys() or "accepted_at" in document:
        return f"it may be a baseline; hold a candidate against it with: edgebench gate --baseline {path}"
    if "scores" in document:
        return "it has scores; pass it as `scores`"
    return "name a file that `profile --json` wrote"
