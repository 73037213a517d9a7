"""Formats of files that exist already: whether one has the format that was asked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from edgebench.artifact import Format, format_of_file
from edgebench.errors import ConfigError
from edgebench.export.cache import cache_folder
from edgebench.export.existing import existing_file, exported_before


def recorded_format(file: Path) -> Format:
    """Return the format of an existing file: that of its export, where the record beside it is of this file."""
    kept = exported_before(file, cache=cache_folder(), on_progress=lambda _: None) if file.is_file() else None
    return kept[0].format if kept is not None else _by_name(file)


def _by_name(file: Path) -> Format:
    found = format_of_file(file)
    assert found is not None  # noqa: S101 - existing_file finds files by their names
    return found


def refuse_other_formats(models: Sequence[str], formats: Collection[Format]) -> None:
    """Refuse formats for files that have others; none (empty) fits every file.

    Raises:
        ConfigError: a file has another format, or a format is that of no file.
    """
    files = {model: file for model in models if (file := existing_file(model)) is not None}
    found = {model: recorded_format(file) for model, file in files.items()}
    for model, format in found.items():
        if formats and (format not in formats or not set(formats) <= set(found.values())):
            raise ConfigError(
                f"{model} is profiled as it is: leave the format ({', '.join(formats)}) out; the file's is {format}"
            )
