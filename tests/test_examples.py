"""Each example runs, and the README shows the one for Python as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.long
def test_the_python_example_runs_as_it_is(tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBENCH_HOME", str(tmp_path / "board"))
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tiny_onnx.parents[2]))  # the reference model is exported there already
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "python_api.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "valid: " in done.stdout  # which the machine may be too busy for


def test_the_readme_shows_the_python_example_as_it_is() -> None:
    code = (ROOT / "examples" / "python_api.py").read_text().split("\n\n", 1)[1]
    assert code in (ROOT / "README.md").read_text()
