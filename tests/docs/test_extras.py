"""Extras that pages and messages name exist, and the page about installing lists those that users need."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
#: For who works on edgebench itself; a checkout has them.
OF_DEVELOPERS = {"dev", "fuzz", "test"}


def test_extras_that_pages_name_exist() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        extra.strip()
        for page in pages
        for listed in re.findall(r"edgebench\[([\w, ]+)\]", page.read_text(encoding="utf-8"))
        for extra in listed.split(",")
    }
    assert {"export", "tflite", "local"} <= named <= EXTRAS


def test_the_page_about_installing_lists_every_extra_for_users() -> None:
    listed = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "install.md").read_text(), re.MULTILINE))
    assert listed == EXTRAS - OF_DEVELOPERS


def test_extras_that_messages_name_exist() -> None:
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "edgebench").rglob("*.py"))
    named = {extra for text in sources for extra in re.findall(r'MissingExtra\(\s*"[^"]+",\s*"(\w+)"', text)}
    assert named
    assert named <= EXTRAS
