"""The agent as one file, a zipapp, as it is put on boards and as runs name it: by its SHA-256."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable


@cache
def agent_archive() -> tuple[bytes, str]:
    """Return the agent as a zipapp and its SHA-256: the same bytes for the same sources, wherever they are packed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        sources = {f"edgebench_agent/{name}": data for name, data in _sources(resources.files("edgebench_agent"))}
        sources["__main__.py"] = b"from edgebench_agent.__main__ import main\n\nraise SystemExit(main())\n"
        for name in sorted(sources):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, whatever packs it
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, sources[name])
    data = buffer.getvalue()
    return data, hashlib.sha256(data).hexdigest()


def agent_source(name: str) -> str:
    """Return the text of one of the agent's modules, for what has to run on a board before the agent does."""
    return resources.files("edgebench_agent").joinpath(name).read_text(encoding="utf-8")


def _sources(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield prefix + entry.name, entry.read_bytes()
