"""Names of variants: models of one session need distinct names, also because scores are looked up by name."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from edgebench.artifact import Format
from edgebench.export.cache import RECORD


def unique_names(sources: Sequence[tuple[str, str]]) -> list[str]:
    """Return a name for each `(source, default name)`, in order; equal sources have equal names.

    If several sources have the same name, parent folders are prepended until the names differ: `m/en/best.onnx` and
    `m/multi/best.onnx` become `en/best` and `multi/best`. If that does not help, the name is the source.
    """
    longer = {source: _lengthened(source, name) for source, name in sources}
    depth = dict.fromkeys(longer, 0)
    while True:
        named: dict[str, list[str]] = defaultdict(list)
        for source, names in longer.items():
            named[names[depth[source]]].append(source)
        alike = [source for group in named.values() if len(group) > 1 for source in group]
        movable = [source for source in alike if depth[source] + 1 < len(longer[source])]
        if not movable:
            return [longer[source][depth[source]] for source, _ in sources]
        for source in movable:
            depth[source] += 1


def _lengthened(source: str, name: str) -> list[str]:
    """Return the name alone, then with one parent folder, with two, and so on; the last entry is the source itself."""
    # First the path with its symbolic links, then the resolved path.
    for path in (Path(os.path.abspath(source)), Path(source).resolve()):  # noqa: PTH100
        parents = path.parts[1:]
        while parents and name not in (parents[-1], Path(parents[-1]).stem):
            parents = parents[:-1]
        if parents:
            folders = parents[:-1]
            return [name, *("/".join([*folders[at:], name]) for at in range(len(folders) - 1, -1, -1)), source]
    return [name, source]


def name_of_folder(source: str) -> str | None:
    """Return a variant name for a folder that an exporter wrote; None for a file, or a folder of edgebench's own."""
    folder = Path(source)
    if not folder.is_dir() or (folder / RECORD).is_file():
        return None
    folder = folder.resolve()
    return folder.parent.name if folder.name == "onnx" else folder.name


def name_of_file(path: Path) -> str:
    """Return a variant name for a file: its stem, or <name> for <name>/model.onnx, OUT/<name>/<format>/model.onnx and
    <name>/onnx/model.onnx."""
    if path.stem != "model":
        return path.stem
    folder = path.parent.resolve()
    return folder.parent.name if folder.name in {"onnx", *(str(format) for format in Format)} else folder.name
