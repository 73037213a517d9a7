"""A wheel in an environment of its own works as the checkout does."""

import importlib.metadata
import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
        "edgebench/ci_recipes/templates/Jenkinsfile",
        "edgebench/ci_recipes/templates/measure.sh",
        "edgebench/data/xlmr_token_lengths.json",
        "edgebench_agent/protocol/messages.py",
        "edgebench_agent/__main__.py",
    } <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "agents/"))]
    (entry_points,) = [name for name in names if name.endswith(".dist-info/entry_points.txt")]
    with zipfile.ZipFile(wheel) as archive:
        assert "[pytest11]\nedgebench.pytest_plugin = edgebench.pytest_plugin" in archive.read(entry_points).decode()


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in an environment that has what edgebench[local] requires, and nothing else that is installed here.

    What it requires is linked, not downloaded: a requirement that the wheel does not declare is not there.
    """
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment)
    pip = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--no-compile", wheel], check=True, capture_output=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (record,) = packages.glob("edgebench-*.dist-info")
    link_requirements(importlib.metadata.Distribution.at(record), {"local"}, packages, done=set())
    return environment


def link_requirements(
    distribution: importlib.metadata.Distribution, extras: set[str], packages: Path, *, done: set[tuple[str, str]]
) -> None:
    """Link what a distribution requires with some extras, and what that requires, from this Python's packages."""
    for requirement in map(Requirement, distribution.requires or ()):
        marker = requirement.marker
        if marker is not None and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        new = {(requirement.name, extra) for extra in ("", *requirement.extras)} - done
        if not new:
            continue
        done |= new
        required = distribution  # edgebench[local] requires edgebench[onnx]
        if canonicalize_name(requirement.name) != "edgebench":
            required = importlib.metadata.distribution(requirement.name)
            assert requirement.specifier.contains(required.version, prereleases=True), requirement
            for top in {file.parts[0] for file in required.files or ()} - {"..", "__pycache__"}:
                if not (packages / top).exists():
                    (packages / top).symlink_to(Path(str(required.locate_file(top))))
        link_requirements(required, requirement.extras, packages, done=done)


@pytest.mark.long
def test_a_wheel_measures_with_what_it_requires(
    environment: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
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
