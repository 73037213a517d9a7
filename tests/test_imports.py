"""Starting is cheap, and the rooms import each other as the drawing says."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = [
    *("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "tokenizers", "safetensors"),
    *("numpy", "scipy", "rich", "duckdb", "fabric", "msgspec", "paramiko", "psutil"),
]
SHOW_HELP = """
from edgebench.cli import main
try:
    main(["--help"])
except SystemExit as end:
    assert not end.code
"""


@pytest.mark.parametrize("code", ["import edgebench", SHOW_HELP], ids=["import", "help"])
def test_starting_loads_nothing_heavy(code: str) -> None:
    code += f"\nimport sys; print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "LOADED []" in result.stdout


def test_the_rooms_import_each_other_as_drawn() -> None:
    root = Path(__file__).parents[1]
    linter = Path(sys.executable).with_name("lint-imports")
    if not linter.exists():
        pytest.skip("import-linter is not installed (extra: dev)")
    result = subprocess.run([linter, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
