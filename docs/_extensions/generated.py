"""A folder of pages that are written at each build."""

from __future__ import annotations

from pathlib import Path


class GeneratedFolder:
    """Writes pages, and touches only those that changed, so that Sphinx builds no more than it must."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: set[Path] = set()
        folder.mkdir(exist_ok=True)

    def write(self, name: str, text: str) -> None:
        """Write a page of Markdown."""
        path = self._folder / f"{name}.md"
        self._written.add(path)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")

    def remove_others(self) -> None:
        """Remove the pages of earlier builds that were not written this time."""
        for path in set(self._folder.glob("*.md")) - self._written:
            path.unlink()
