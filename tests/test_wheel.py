"""A wheel in an empty environment works as the checkout does."""

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from edgebench.export import export_model

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_the_agent_the_profiles_and_the_figures(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "edgebench/__init__.py",
        "edgebench/py.typed",
        "edgebench/device_profiles/pi4.toml",
        "edgebench/data/xlmr_token_lengths.json",
        "edgebench_agent/protocol/messages.py",
        "edgebench_agent/__main__.py",
    } <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "agents/"))]


@pytest.mark.timeout(900)
def test_wheel_in_an_empty_environment_measures(wheel: Path, cache: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    installed = subprocess.run(
        [environment / "bin" / "pip", "install", "--quiet", "--no-compile", f"{wheel}[local]"],
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode and "No matching distribution" in installed.stderr:
        pytest.skip("no package index can be reached from here")
    assert installed.returncode == 0, installed.stderr
    artifact = export_model("reference:tiny", "onnx-int8", cache=cache, out=tmp_path / "model").artifact

    def edgebench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [environment / "bin" / "edgebench", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    measured = edgebench(
        "profile", "--model", artifact.model_path, "--runs", "2", "--min-count", "10", "--min-duration", "0.1",
        "--seq-len", "16", "--no-own-cost", "--json", "result.json",
    )  # fmt: skip
    assert measured.returncode in (0, 4), measured.stderr  # a busy machine may disturb a run
    (measurement,) = json.loads((tmp_path / "result.json").read_text())["measurements"]
    assert measurement["artifact"]["sha256"] == artifact.sha256
    assert "pi4" in edgebench("device", "list").stdout

    refused = edgebench("profile")
    assert refused.returncode == 1
    assert "pip install 'edgebench[export]'" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
