"""The targets of the Makefile that CI does not run."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_folders_of_the_fast_tests_are_there() -> None:
    (names,) = re.findall(r"^FAST := \$\(addprefix tests/,([a-z_ ]+)\)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [name for name in names.split() if not any((ROOT / "tests" / name).rglob("test_*.py"))] == []
